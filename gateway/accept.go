package gateway

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"topicgate/gateway/edge"
	"topicgate/gateway/session"
	"topicgate/gateway/wire"

	"github.com/gorilla/websocket"
)

// subprotocols in the order of preference; "mqttv3.1" is what older clients call it.
var subprotocols = []string{"mqtt", "mqttv3.1"}

// wsWriteBytes is the size of the pooled buffers in which WebSocket messages are put together: a
// whole batch and its frame header.
const wsWriteBytes = wire.BatchBytes + 16

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
	if one := s.upgrade(w, r); one != nil {
		s.crew.do(one.Serve)
	}
}

// socketKey is under which a request's context has the socket that it came by.
type socketKey struct{}

func withSocket(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, socketKey{}, wire.Below(c))
}

// joinLines makes one line of a header that is a list and came in several (RFC 9110 section 5.3): the WebSocket library
// reads the first one alone.
func joinLines(h http.Header, name string) {
	if lines := h[name]; len(lines) > 1 {
		h[name] = []string{strings.Join(lines, ", ")}
	}
}

func socketOf(r *http.Request) *wire.Socket {
	socket, _ := r.Context().Value(socketKey{}).(*wire.Socket)
	return socket
}

// judgeRequest looks at a request in the order in which an operator would look for the mistake. Unless it returns a
// status, the request is to be upgraded.
func (s *Server) judgeRequest(r *http.Request) (status int, text string) {
	switch {
	case !slices.Contains(s.options.Paths, r.URL.Path):
		return http.StatusNotFound, "not found"
	case !websocket.IsWebSocketUpgrade(r):
		return http.StatusUpgradeRequired, "this is a WebSocket endpoint for MQTT"
	case !edge.OriginAllowed(r, s.options.AllowedOrigins):
		s.logOrigin(r)
		return http.StatusForbidden, "origin not allowed"
	case s.draining.Load():
		return http.StatusServiceUnavailable, "shutting down"
	case !slices.ContainsFunc(websocket.Subprotocols(r), func(p string) bool { return slices.Contains(subprotocols, p) }):
		return http.StatusBadRequest, "the subprotocol must be mqtt"
	}
	if !s.doors.upgrade(socketOf(r)) {
		return http.StatusServiceUnavailable, "too many connections"
	}
	return 0, ""
}

func (s *Server) refuseRequest(w http.ResponseWriter, status int, text string) {
	s.options.Metrics.HTTPRefused(status)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Connection", "close") // it has no place to stay
	}
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket") // RFC 9110 section 15.5.22
		w.Header().Set("Connection", "Upgrade")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// upgrade answers a request and makes its session; nil: none can be served.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) *session.Session {
	remote := s.options.TrustedProxies.ClientAddr(r)
	tokens, certificate := edge.TokensOf(r, s.options.TokenSources), edge.CertificateOf(r)
	h := &wire.Hijacker{ResponseWriter: w}
	ws, err := s.upgrader.Upgrade(h, r, nil) // answers a bad request itself
	if err != nil {
		s.options.Metrics.HTTPRefused(http.StatusBadRequest)
		s.log.Debug("upgrade failed", "remote", remote.String(), "err", err.Error())
		if h.Taken() {
			s.doors.leave(socketOf(r))
		}
		return nil
	}
	one := session.New(s.host, remote, tokens, certificate)
	if one.Adopt(ws, h.Reader()) && s.register(one) {
		return one
	}
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseServiceRestart, ""), time.Now().Add(wire.LingerTimeout))
	_ = ws.Close()
	s.doors.leave(socketOf(r))
	return nil
}
