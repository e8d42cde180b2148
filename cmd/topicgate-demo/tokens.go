package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// keys signs the provider's tokens. They are made at start and die with the process.
type keys struct {
	access, id jose.Signer // typ at+jwt (RFC 9068 section 2.1) and JWT
	public     jose.JSONWebKeySet
}

func newKeys() (*keys, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.RS256), Use: "sig"}
	signer := func(typ jose.ContentType) (jose.Signer, error) {
		return jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType(typ))
	}
	k := &keys{public: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}}
	if k.access, err = signer("at+jwt"); err != nil {
		return nil, err
	}
	k.id, err = signer("JWT")
	return k, err
}

// issue answers the token endpoint: a fresh access token, ID Token and refresh token of l. The caller
// holds the provider's mu.
func (p *provider) issue(l *login) (map[string]any, error) {
	now := p.now()
	common := map[string]any{
		"iss": p.issuer,
		"sub": l.account.Name,
		"iat": now.Unix(),
		"exp": now.Add(p.lifetime).Unix(),
	}
	access := maps.Clone(common)
	access["aud"] = p.audience
	access["client_id"] = p.clientID
	access["scope"] = "openid"
	access["jti"] = rand.Text()
	access["roles"] = l.account.Roles
	accessToken, err := jwt.Signed(p.keys.access).Claims(access).Serialize()
	if err != nil {
		return nil, fmt.Errorf("sign the access token: %w", err)
	}
	id := maps.Clone(common)
	id["aud"] = p.clientID
	id["auth_time"] = l.at.Unix()
	if l.nonce != "" {
		id["nonce"] = l.nonce
	}
	idToken, err := jwt.Signed(p.keys.id).Claims(id).Serialize()
	if err != nil {
		return nil, fmt.Errorf("sign the ID Token: %w", err)
	}
	if l.refresh != "" {
		l.spent = append(l.spent, l.refresh)
	}
	l.refresh = rand.Text()
	p.byRefresh[l.refresh] = l
	return map[string]any{
		"token_type":    "Bearer",
		"access_token":  accessToken,
		"id_token":      idToken,
		"refresh_token": l.refresh,
		"expires_in":    int(p.lifetime.Seconds()),
		"scope":         "openid",
	}, nil
}
