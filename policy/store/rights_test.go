package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// The rights that deploy/README.md names for the gateway's own Redis user are enough
// for the policy.
func TestLeastRightsSuffice(t *testing.T) {
	r := startRedis(t)
	r.do("ACL", "SETUSER", "gateway", "on", ">se:cr@t/", "resetkeys", "~topicgate:*", "resetchannels", "&topicgate:*", "nocommands",
		"+getrange", "+sscan", "+scard", "+smismember", "+exists", "+pttl", "+set", "+publish", "+subscribe", "+ping", "+hello", "+client|tracking")
	r.do("SET", "topicgate:acl", roomRules)
	s := startStore(t, "redis://gateway:se%3Acr%40t%2F@"+r.addr)
	g := s.open(t, policy.Principal{Username: "alice", TokenID: "1"})
	r.do("SADD", "topicgate:user:alice:rooms", "7")
	eventually(t, "alice joined", func() bool { return reads(g, "chat/room/7/x") })
	r.do("SADD", "topicgate:blocked", "alice")
	eventually(t, "alice is blocked", func() bool { return g.Standing() == Blocked })
}

func TestWrongPasswordIsToldByStatus(t *testing.T) {
	r := startRedis(t, "--requirepass", "right")
	s := startStore(t, "redis://:wrong@"+r.addr, quick)
	eventually(t, "a detail that says why", func() bool {
		st := s.Status()
		return !st.Ready && len(st.Detail["redis"]) > len("not watched for 10s: ")
	})
}

func TestRedisOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile := writeFile(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile := writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	port := strconv.Itoa(freePort(t))
	r := startRedis(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	r.do("SET", "topicgate:acl", "pattern read a")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s := startStore(t, "rediss://127.0.0.1:"+port, func(_ *Store, o *Options) {
		o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	})
	g := s.open(t, policy.Principal{Username: "alice"})
	r.do("SET", "topicgate:acl", "pattern read b")
	eventually(t, "changed text", func() bool { return reads(g, "b") && !reads(g, "a") })

	// A certificate of an unknown authority is refused.
	stranger := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, TLSConfig: &tls.Config{}, MaxRetries: -1, DialerRetries: 1})
	defer stranger.Close()
	if err := stranger.Ping(t.Context()).Err(); err == nil {
		t.Error("the server's certificate is believed by anybody")
	}
}
