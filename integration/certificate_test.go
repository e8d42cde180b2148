package integration

import (
	"crypto/tls"
	"testing"

	"topicgate/frames"
)

// newSecureStack is a stack that serves WSS and takes client certificates of its own authority.
func newSecureStack(t testing.TB, ca *authority, rules string, more ...settings) (*stack, leaf) {
	t.Helper()
	server := ca.issueServer(t)
	return newStack(t, rules, append([]settings{{"TLS_CERT_FILE": server.certFile, "TLS_KEY_FILE": server.keyFile}}, more...)...), server
}

func TestAClientCertificateIsAnIdentity(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	s, _ := newSecureStack(t, ca, "pattern readwrite mine/%u\n", settings{"TLS_CLIENT_CA_FILE": ca.file, "SHARED_USERS": "true"})
	device := ca.issueClient(t, "device-7")
	w, connack := s.connectingBy(t, dialOptions{tls: ca.clientTLS(device)}, frames.V311, "c", "")
	if connack.Reason != frames.Success {
		t.Fatalf("a certificate: CONNACK %#x; want 0", uint8(connack.Reason))
	}
	w.subscribed("mine/device-7")
	w.publish(message("mine/device-7", "hello", 1))
	w.receives("mine/device-7", "hello")
	s.broker.stderr.await(t, "as device-7:c ", "u'device-7'")

	w, connack = s.connectingBy(t, dialOptions{tls: ca.clientTLS(device)}, frames.V5, "t", s.issuer.token(t, "alice"))
	if connack.Reason != frames.Success {
		t.Fatalf("a certificate and a token: CONNACK %#x; want 0", uint8(connack.Reason))
	}
	if code := w.publish(message("mine/alice", "x", 1)); code >= 0x80 {
		t.Errorf("with both, PUBLISH as the token's user answered %#x; want the token to win", uint8(code))
	}
	w, connack = s.connectingBy(t, dialOptions{tls: ca.clientTLS(device)}, frames.V5, "b", s.issuer.token(t, "alice", claims{"aud": "elsewhere"}))
	w.refused(connack) // a bad token is no reason to fall back
	w, connack = s.connectingBy(t, dialOptions{tls: ca.clientTLS()}, frames.V5, "n", "")
	w.refused(connack)
	for _, name := range []string{"", "a/b", "+", "#"} {
		w, connack := s.connectingBy(t, dialOptions{tls: ca.clientTLS(ca.issueClient(t, name))}, frames.V5, "odd", "")
		w.refused(connack)
	}
	if _, _, err := s.upgrade(t, dialOptions{tls: ca.clientTLS(stranger.issueClient(t, "device-7"))}); err == nil {
		t.Error("a certificate of another authority was let in")
	}
	o := dialOptions{tls: ca.clientTLS(device), header: map[string][]string{"Origin": {"https://" + s.address}}}
	w, connack = s.connectingBy(t, o, frames.V5, "browser", "")
	w.refused(connack) // from clients that are no browsers
}

func TestTheOperatorMayRequireACertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	s, _ := newSecureStack(t, ca, openPolicy, settings{"TLS_CLIENT_CA_FILE": ca.file, "TLS_CLIENT_AUTH": "require", "SHARED_USERS": "true"})
	if _, response, err := s.upgrade(t, dialOptions{tls: ca.clientTLS()}); err == nil || response != nil {
		t.Error("a handshake without certificate; want none")
	}
	if _, connack := s.connectingBy(t, dialOptions{tls: ca.clientTLS(ca.issueClient(t, "device"))}, frames.V311, "c", ""); connack.Reason != frames.Success {
		t.Errorf("with certificate: CONNACK %#x; want 0", uint8(connack.Reason))
	}
}

func TestCertificatesAreReadAgainWhenTheFilesChange(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	s, first := newSecureStack(t, ca, openPolicy)
	alive, connack := s.connectingBy(t, dialOptions{tls: ca.clientTLS()}, frames.V5, "alive", s.issuer.token(t, "alice"))
	if connack.Reason != frames.Success {
		t.Fatalf("CONNACK %#x; want 0", uint8(connack.Reason))
	}
	next := ca.issueServer(t)
	// The two files never change at the same moment: a half changed pair must not stop the listener.
	replaceFile(t, first.certFile, next.certPEM)
	s.handshake(t, ca)
	replaceFile(t, first.keyFile, next.keyPEM)
	eventually(t, "the new certificate is served", func() bool {
		return string(s.handshake(t, ca).Raw) == string(next.pair.Certificate[0])
	})
	alive.ping()
}

// handshake returns the certificate that the gateway shows.
func (g *gateway) handshake(t testing.TB, ca *authority) (shown struct{ Raw []byte }) {
	t.Helper()
	conn, err := tls.Dial("tcp", g.address, ca.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shown.Raw = conn.ConnectionState().PeerCertificates[0].Raw
	return shown
}
