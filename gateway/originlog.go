package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"topicgate/auth"
)

const (
	// originLogInterval is how often a refused origin is logged at most: a page tries again each second, for ever.
	originLogInterval = time.Minute
	// maxLoggedOrigins bounds how many different ones are logged in that time. Whoever makes them up floods no log.
	maxLoggedOrigins = 100
	// maxOriginBytes bounds what is logged of one. No host name has more than 255.
	maxOriginBytes = 300
)

// originLog remembers which refused origins were logged lately. The zero value is ready.
type originLog struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// due reports whether origin is to be logged now, and takes it that it will be.
func (l *originLog) due(origin string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.told[origin]; ok && now.Sub(last) < originLogInterval {
		return false
	}
	if len(l.told) >= maxLoggedOrigins {
		for o, last := range l.told {
			if now.Sub(last) >= originLogInterval {
				delete(l.told, o)
			}
		}
		if len(l.told) >= maxLoggedOrigins {
			return false
		}
	}
	if l.told == nil {
		l.told = map[string]time.Time{}
	}
	l.told[origin] = now
	return true
}

// logOrigin tells of a request whose origin was refused. It is the first mistake that most people make, so it says what
// to do.
func (s *Server) logOrigin(r *http.Request) {
	origin := printable(strings.Join(r.Header.Values("Origin"), ", "), maxOriginBytes)
	if s.origins.due(origin, time.Now()) {
		s.log.Warn("origin refused", "origin", origin, "host", printable(r.Host, maxOriginBytes),
			"remote", s.options.TrustedProxies.ClientAddr(r).String(),
			"hint", "to let the pages of this origin connect, name it in TOPICGATE_ALLOWED_ORIGINS")
	}
}

// printable is a client's text for a log: bounded, without a token, and with escapes for all but the printable
// characters of ASCII.
func printable(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	quoted := strconv.QuoteToASCII(auth.Mask(text))
	return quoted[1 : len(quoted)-1]
}
