package metrics

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminHandler serves /metrics, /healthz, /readyz and /sessions to operators, for GET and HEAD
// alone; it belongs on a listener that clients cannot reach. ready tells whether new sessions are
// welcome, with the state of each part; sessions gives the live ones as something that
// encoding/json can write, without tokens. Both are called for each request, from any goroutine.
//
// The sessions are shown to who asks for a loopback host or one of hosts, names or addresses without port: a web page
// of anybody's may have its own name lead here, and its visitor's browser ask by that name. (The rest names nobody,
// and is asked for by probes under addresses that nobody can list.)
func AdminHandler(m *Metrics, hosts []string, ready func() (ok bool, detail map[string]string), sessions func() any) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		// Health is that the process serves. A broker or an issuer that is down is no reason
		// to restart it and lose everybody's session; that is what /readyz is for.
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ok, detail := ready()
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, struct {
			Ready  bool              `json:"ready"`
			Detail map[string]string `json:"detail,omitempty"`
		}{ok, detail})
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r); !isLoopback(host) && !slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			http.Error(w, "sessions are not shown under this host; TOPICGATE_ADMIN_HOSTS names those under which they are", http.StatusMisdirectedRequest)
			return
		}
		writeJSON(w, http.StatusOK, sessions())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff") // names chosen by clients appear in /sessions
		mux.ServeHTTP(w, r)
	})
}

// hostOf is the host that r asks for, without port.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]")
	}
	return host
}

// isLoopback reports whether host is this machine, whatever a name server says (RFC 6761 section 6.3).
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}

// writeJSON encodes before it writes the status, so that what cannot be encoded is a 500.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client that went away needs no answer
}
