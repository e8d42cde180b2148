package auth

import (
	"crypto/elliptic"
	"fmt"
	"runtime"
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
		for name, token := range map[string]string{"uncached": token, "keycloak": key.token(likeKeycloak(0))} {
			b.Run(key.algorithm+"/"+name, func(b *testing.B) {
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
}

// likeKeycloak are the claims of an access token as Keycloak makes them, each n another's.
func likeKeycloak(n int) claims {
	return claims{
		"sub": fmt.Sprintf("6f0c1d9e-8a43-4f5e-9d7b-%012x", n), "jti": fmt.Sprintf("onrtac:2b7c5d18-%012x", n), "typ": "Bearer", "azp": "web",
		"sid": fmt.Sprintf("f1e2d3c4-%012x", n), "acr": "1", "allowed-origins": []string{"https://chat.example"}, "scope": "openid email profile",
		"realm_access":    claims{"roles": []string{"default-roles-chat", "offline_access", "moderator"}},
		"resource_access": claims{"account": claims{"roles": []string{"manage-account", "view-profile"}}},
		"email_verified":  true, "name": "Alice Example", "preferred_username": fmt.Sprintf("alice-%d", n), "email": fmt.Sprintf("alice-%d@example.org", n),
	}
}

// BenchmarkCachedToken shows what the cache holds for each of 10,000 tokens, as B/token, and
// how much of that a session holds that outlives the cache, as B/identity.
func BenchmarkCachedToken(b *testing.B) {
	key := newKey("a")
	bed := newTestbed(b, newProvider(testIssuer, key), func(o *Options) {
		o.Observe, o.Users.Claim, o.RolesClaims = nil, "preferred_username", []string{"realm_access.roles"}
	})
	bed.want(b, "first", key.token(claims{"preferred_username": "first"}), "ok")
	for b.Loop() {
		identities := make([]Identity, 0, cacheEntries)
		bed.cache.tokens.Purge()
		before := heap()
		for n := range cacheEntries {
			id, err := bed.Verify(b.Context(), key.token(likeKeycloak(n)))
			if err != nil {
				b.Fatal(err)
			}
			identities = append(identities, id)
		}
		cached := heap()
		b.ReportMetric(float64(cached-before)/cacheEntries, "B/token")
		bed.cache.tokens.Purge()
		b.ReportMetric(float64(heap()-before)/cacheEntries, "B/identity")
		runtime.KeepAlive(identities)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
