package edge

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"
)

func TestTheSameHostIsAnotherOriginWithoutTLS(t *testing.T) {
	own, named := []string(nil), []string{"http://mqtt.example.com"}
	for _, c := range []struct {
		list    []string
		tls     bool
		origin  string
		allowed bool
	}{
		{own, true, "https://mqtt.example.com", true},
		{own, true, "HTTPS://MQTT.example.com", true},
		{own, true, "http://mqtt.example.com", false},
		{own, true, "ws://mqtt.example.com", false},
		{own, true, "https://other.example.com", false},
		{own, false, "http://mqtt.example.com", true},
		{own, false, "https://mqtt.example.com", true}, // TLS may end before the gateway
		{own, false, "null", false},
		{named, true, "http://mqtt.example.com", true}, // the operator says so
		{named, true, "https://mqtt.example.com", false},
	} {
		r := httptest.NewRequest("GET", "https://mqtt.example.com/mqtt", nil)
		r.TLS = nil
		r.Header.Set("Origin", c.origin)
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if got := OriginAllowed(r, c.list); got != c.allowed {
			t.Errorf("OriginAllowed(%s, TLS %v) = %v; want %v", c.origin, c.tls, got, c.allowed)
		}
	}
}
