package auth

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// sameAsJOSE wants of headers.parse what go-jose makes of the whole token, but for the keys that it brings along.
func sameAsJOSE(t *testing.T, h *headers, token string) {
	t.Helper()
	header, rest, _ := strings.Cut(token, ".")
	plain, err := withoutKeys(header)
	if err != nil {
		plain = "?"
	}
	want, err := jose.ParseSignedCompact(plain+"."+rest, algorithms)
	ok := err == nil && !strings.ContainsAny(token, "\r\n") && checkHeader(want.Signatures[0].Protected) == nil
	got, err := h.parse(token)
	if (err == nil) != ok {
		t.Errorf("parse(%q) = %v; go-jose and checkHeader take it: %v", token, err, ok)
	}
	if err != nil || !ok {
		return
	}
	if !bytes.Equal(got.payload, want.UnsafePayloadWithoutVerification()) ||
		!bytes.Equal(got.signature, want.Signatures[0].Signature) || !reflect.DeepEqual(got.header, want.Signatures[0].Protected) {
		t.Errorf("parse(%q) = %+v; want %+v", token, got, want)
	}
	h.keep(got.encodedHeader, got.header)
	got.headerKnown = true
	if again, err := h.parse(token); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("parse(%q) with its header known = %+v, %v; want %+v", token, again, err, got)
	}
}

func TestTokensAreReadAsByGoJOSE(t *testing.T) {
	key, rsa := newKey("a"), signer{"rsa", "RS256", rsaKey()}
	h := newHeaders()
	for _, c := range refusals(key, rsa) {
		sameAsJOSE(t, h, c.token)
	}
	sameAsJOSE(t, h, key.token())
}

// FuzzParse: a token is read as go-jose reads it, with a header that is known, too.
func FuzzParse(f *testing.F) {
	key := newKey("a")
	for _, c := range refusals(key, signer{"rsa", "RS256", rsaKey()}) {
		if len(c.token) < 4096 {
			f.Add(c.token)
		}
	}
	f.Add("..")
	f.Add(key.token())
	f.Fuzz(func(t *testing.T, token string) { sameAsJOSE(t, newHeaders(), token) })
}

func TestKnownHeaderVouchesForNothing(t *testing.T) {
	key, other := newKey("a"), newKey("b")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		first, second := key.token(), key.token(claims{"sub": "bob"})
		b.want(t, "first", first, "ok")
		if len(b.headers.known) != 1 {
			t.Fatalf("%d headers are known; want 1", len(b.headers.known))
		}
		parts, others := strings.Split(first, "."), strings.Split(second, ".")
		b.want(t, "with another's payload", parts[0]+"."+others[1]+"."+parts[2], ReasonBadSignature)
		b.want(t, "with another's signature", parts[0]+"."+parts[1]+"."+others[2], ReasonBadSignature)
		b.want(t, "without signature", parts[0]+"."+parts[1]+".", ReasonBadSignature)
		b.want(t, "expired", key.token(claims{"exp": 1}), ReasonExpired)
		b.want(t, "second", second, "ok")
		b.provider.publish(other)
		pass(renewInterval + fetchInterval)
		b.want(t, "of a withdrawn key", key.token(claims{"sub": "carol"}), ReasonNoSuchKey)
	})
}

func TestOnlyGoodTokensMakeHeadersKnown(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	for n := range 10 {
		header := claims{"n": n}
		token := key.tokenWithHeader(header)
		b.want(t, "forged", token[:len(token)-10], ReasonBadSignature)
		b.want(t, "for others", key.tokenWithHeader(header, claims{"aud": "web"}), ReasonWrongAudience)
	}
	b.want(t, "long header", key.tokenWithHeader(claims{"x": strings.Repeat("x", maxKnownHeaderBytes)}), "ok")
	if n := len(b.headers.known); n != 0 {
		t.Errorf("%d headers are known; want 0", n)
	}
	for n := range 3 * knownHeaders {
		b.want(t, "good", key.tokenWithHeader(claims{"n": n}), "ok")
		if len(b.headers.known) > knownHeaders {
			t.Fatalf("%d headers are known; want at most %d", len(b.headers.known), knownHeaders)
		}
	}
}

func TestOneHeaderServesManyTokensAtATime(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	b.want(t, "first", key.token(), "ok")
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			name := fmt.Sprint("user-", n)
			if id, err := b.Verify(t.Context(), key.token(claims{"sub": name})); err != nil || id.Username != name {
				t.Errorf("Verify() of %s = %+v, %v", name, id, err)
			}
		})
	}
	wg.Wait()
}
