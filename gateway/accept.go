package gateway

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// subprotocols in the order of preference; "mqttv3.1" is what older clients call it.
var subprotocols = []string{"mqtt", "mqttv3.1"}

// wsWriteBytes is the size of the pooled buffers in which WebSocket messages are put together: a
// whole batch and its frame header.
const wsWriteBytes = batchBytes + 16

// Handler answers WebSocket upgrades on the configured paths.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.accept) }

// accept judges a request, upgrades it, and leaves the session to the crew: as long as the handler runs, net/http
// keeps the request and its buffers alive.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) {
	joinLines(r.Header, "Sec-Websocket-Protocol")
	if status, text := s.judgeRequest(r); status != 0 {
		s.refuseRequest(w, status, text)
		return
	}
	if session := s.newSession(r); s.upgrade(session, w, r) {
		s.crew.do(session.serve)
	} else {
		s.open.Add(-1)
	}
}

// joinLines makes one line of a header that is a list and came in several (RFC 9110 section 5.3): the WebSocket library
// reads the first one alone.
func joinLines(h http.Header, name string) {
	if lines := h[name]; len(lines) > 1 {
		h[name] = []string{strings.Join(lines, ", ")}
	}
}

// judgeRequest looks at a request in the order in which an operator would look for the mistake. Unless it returns a
// status, the request is to be upgraded and counts as an open connection.
func (s *Server) judgeRequest(r *http.Request) (status int, text string) {
	switch {
	case !slices.Contains(s.options.Paths, r.URL.Path):
		return http.StatusNotFound, "not found"
	case !websocket.IsWebSocketUpgrade(r):
		return http.StatusUpgradeRequired, "this is a WebSocket endpoint for MQTT"
	case !s.originAllowed(r):
		s.logOrigin(r)
		return http.StatusForbidden, "origin not allowed"
	case s.draining.Load():
		return http.StatusServiceUnavailable, "shutting down"
	case !slices.ContainsFunc(websocket.Subprotocols(r), func(p string) bool { return slices.Contains(subprotocols, p) }):
		return http.StatusBadRequest, "the subprotocol must be mqtt"
	}
	if open := s.open.Add(1); s.options.MaxConnections > 0 && open > int64(s.options.MaxConnections) {
		s.open.Add(-1)
		return http.StatusServiceUnavailable, "too many connections"
	}
	return 0, ""
}

func (s *Server) refuseRequest(w http.ResponseWriter, status int, text string) {
	s.options.Metrics.httpRefused(status)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket") // RFC 9110 section 15.5.22
		w.Header().Set("Connection", "Upgrade")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

func (s *Server) newSession(r *http.Request) *session {
	return newSession(s, s.options.TrustedProxies.ClientAddr(r), s.tokensOf(r), certificateOf(r))
}

// upgrade answers a request; false: the session can't be served.
func (s *Server) upgrade(session *session, w http.ResponseWriter, r *http.Request) bool {
	h := &hijacker{ResponseWriter: w}
	ws, err := s.upgrader.Upgrade(h, r, nil) // answers a bad request itself
	if err != nil {
		s.options.Metrics.httpRefused(http.StatusBadRequest)
		s.log.Debug("upgrade failed", "remote", session.remote.String(), "err", err.Error())
		return false
	}
	if session.adopt(ws, h.reader) && s.register(session) {
		return true
	}
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseServiceRestart, ""), time.Now().Add(lingerTimeout))
	_ = ws.Close()
	return false
}

// originAllowed judges the Origin header, which browsers always send and scripts cannot forge
// (RFC 6455 section 10.2). Without one the client is no browser.
func (s *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	allowed := s.options.AllowedOrigins
	if slices.Contains(allowed, "*") {
		return true
	}
	origin, err := url.Parse(origins[0])
	if err != nil || origin.Host == "" || origin.Path != "" || origin.RawQuery != "" || origin.User != nil {
		return false // "null" among them
	}
	if len(allowed) == 0 {
		// Where the gateway itself serves TLS, http://host is another origin (RFC 6454 section 4): anybody on the way can
		// write its pages. Behind a proxy nobody here knows how the page came.
		return strings.EqualFold(origin.Host, r.Host) && (r.TLS == nil || strings.EqualFold(origin.Scheme, "https"))
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		want, err := url.Parse(a)
		return err == nil && strings.EqualFold(want.Scheme, origin.Scheme) && strings.EqualFold(withPort(want), withPort(origin))
	})
}

// withPort is u's host with the scheme's own port spelled out.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	switch strings.ToLower(u.Scheme) {
	case "https", "wss":
		return u.Host + ":443"
	case "http", "ws":
		return u.Host + ":80"
	}
	return u.Host
}

// requestTokens is what the HTTP request may have brought, by token source.
type requestTokens map[TokenSource]string

// tokensOf picks the tokens of the configured sources out of the request, so that the request
// itself can go.
func (s *Server) tokensOf(r *http.Request) requestTokens {
	var tokens requestTokens
	keep := func(source TokenSource, token string) {
		if token == "" {
			return
		}
		if tokens == nil {
			tokens = requestTokens{}
		}
		tokens[source] = strings.Clone(token)
	}
	for _, source := range s.options.TokenSources {
		switch source.Kind {
		case TokenHeader:
			// RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if strings.EqualFold(scheme, "Bearer") {
				keep(source, strings.TrimLeft(token, " "))
			}
		case TokenCookie:
			// Browsers send cookies from any page. Without an Origin nobody has said that this page may.
			if r.Header.Get("Origin") == "" {
				continue
			}
			if cookie, err := r.Cookie(source.Name); err == nil {
				keep(source, cookie.Value)
			}
		case TokenQuery:
			keep(source, r.URL.Query().Get(source.Name))
		}
	}
	return tokens
}

// certificateOf is the client certificate that TLS has verified, or nil. Browsers present theirs on
// behalf of any page, so from them it says nothing.
func certificateOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || r.Header.Get("Origin") != "" {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}
