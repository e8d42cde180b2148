package metrics

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAdminAnswers(t *testing.T) {
	ready, detail := true, map[string]string{"redis": "ok"}
	var live any = []map[string]string{{"user": "alice", "client_id": "<b>"}}
	h := AdminHandler(newTestMetrics(), []string{"example.com"}, func() (bool, map[string]string) { return ready, detail }, func() any { return live })

	for _, tt := range []struct {
		name, method, path string
		prepare            func()
		status             int
		body               string // contained
	}{
		{"metrics", "GET", "/metrics", nil, 200, `topicgate_rejections_total{operation="publish",reason="quota"} 0`},
		{"healthy", "GET", "/healthz", nil, 200, `"ok"`},
		{"ready", "GET", "/readyz", nil, 200, `{"ready":true,"detail":{"redis":"ok"}}`},
		{"sessions", "GET", "/sessions", nil, 200, `[{"client_id":"\u003cb\u003e","user":"alice"}]`},
		{"not ready", "GET", "/readyz", func() { ready, detail = false, map[string]string{"redis": "away"} }, 503, `{"ready":false,"detail":{"redis":"away"}}`},
		{"healthy though not ready", "GET", "/healthz", nil, 200, `"ok"`},
		{"head", "HEAD", "/readyz", nil, 503, ""},
		{"post", "POST", "/sessions", nil, 405, ""},
		{"delete", "DELETE", "/metrics", nil, 405, ""},
		{"root", "GET", "/", nil, 404, ""},
		{"below a path", "GET", "/sessions/1", nil, 404, ""},
		{"profiles are not served", "GET", "/debug/pprof/", nil, 404, ""},
		{"cannot be encoded", "GET", "/sessions", func() { live = func() {} }, 500, "cannot encode"},
	} {
		if tt.prepare != nil {
			tt.prepare()
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s: %s %s = %d %q; want %d with %q", tt.name, tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v; want nosniff and no-store", tt.name, w.Header())
		}
		if w.Code == http.StatusOK && tt.path != "/metrics" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: body %q is no JSON", tt.name, w.Body)
		}
	}
}

func TestSessionsAreShownUnderKnownHostsAlone(t *testing.T) {
	ready := func() (bool, map[string]string) { return true, nil }
	h := AdminHandler(newTestMetrics(), []string{"gateway.internal", "10.0.0.5", "fd00::5"}, ready, func() any { return []string{} })
	for host, shown := range map[string]bool{
		"localhost": true, "LocalHost:9090": true, "127.0.0.1:9090": true, "127.1.2.3": true, "[::1]:9090": true, "[::1]": true, "[::ffff:127.0.0.1]:9090": true,
		"gateway.internal:9090": true, "GATEWAY.internal": true, "10.0.0.5:9090": true, "[fd00::5]:9090": true,
		"evil.example": false, "evil.example:9090": false, "localhost.evil.example": false, "127.0.0.1.evil.example:9090": false,
		"10.0.0.6:9090": false, "": false, "gateway.internal.evil.example": false, "0.0.0.0:9090": false,
	} {
		for path, want := range map[string]int{"/sessions": http.StatusMisdirectedRequest, "/healthz": http.StatusOK, "/readyz": http.StatusOK, "/metrics": http.StatusOK} {
			if shown {
				want = http.StatusOK
			}
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("GET %s of host %q = %d; want %d", path, host, w.Code, want)
			}
		}
	}
}
