package auth

import (
	"crypto/elliptic"
	"testing"
)

func BenchmarkVerify(b *testing.B) {
	for _, key := range []signer{
		{"rs256", "RS256", rsaKey()}, newECKey("es256", "ES256", elliptic.P256()), newKey("eddsa"),
	} {
		bed := newTestbed(b, newProvider(testIssuer, key), func(o *Options) { o.Observe = nil })
		token := key.token()
		bed.want(b, "good", token, "ok")
		b.Run(key.algorithm+"/cached", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bed.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(key.algorithm+"/uncached", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bed.cache.tokens.Purge()
				if _, err := bed.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
