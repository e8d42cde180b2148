//go:build linux

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"
)

const audience = "topicgate"

// issuer is an OpenID Connect issuer as far as a gateway sees one: discovery and keys.
type issuer struct {
	url    string
	server *http.Server
	signer jose.Signer
}

// startIssuer serves an issuer until close.
func startIssuer() (*issuer, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: "bench", Algorithm: string(jose.RS256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + listener.Addr().String(), signer: signer}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", answerJSON(map[string]any{
		"issuer":                                i.url,
		"authorization_endpoint":                i.url + "/auth",
		"token_endpoint":                        i.url + "/token",
		"jwks_uri":                              i.url + "/jwks",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	}))
	mux.HandleFunc("GET /jwks", answerJSON(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}))
	i.server = &http.Server{Handler: mux}
	go func() { _ = i.server.Serve(listener) }()
	return i, nil
}

func answerJSON(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func (i *issuer) close() { _ = i.server.Close() }

// user is somebody with a token.
type user struct{ name, token string }

// users returns the users first to first+n-1, each with a token of an hour.
func (i *issuer) users(first, n int) ([]user, error) {
	users := make([]user, n)
	var g errgroup.Group
	g.SetLimit(8)
	for k := range users {
		g.Go(func() (err error) {
			users[k].name = userName(first + k)
			users[k].token, err = i.token(users[k].name)
			return err
		})
	}
	return users, g.Wait()
}

func userName(n int) string { return fmt.Sprintf("user-%d", n) }

// token signs a token such as providers issue: RS256, the claims of RFC 9068, some roles.
func (i *issuer) token(name string) (string, error) {
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": i.url, "aud": audience, "sub": name, "client_id": "bench", "jti": name + now.Format("-150405.000000000"),
		"iat": now.Unix(), "exp": now.Add(3 * time.Hour).Unix(), "roles": []string{"member", "reader"}, "scope": "openid mqtt",
	})
	if err != nil {
		return "", err
	}
	signature, err := i.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signature.CompactSerialize()
}
