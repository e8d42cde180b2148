package gateway

import (
	"container/list"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"topicgate/gateway/metrics"
	"topicgate/gateway/wire"
)

// doors count connections from the TCP accept on, so that there are never more than the limit, nor than the process has
// file descriptors for: at that limit nothing could be accepted any more, not even a probe of the admin listener, and
// Redis, brokers and issuers could not be reached.
//
// Whoever has not shown a good token takes no place from those who have: such connections never take the last tenth of
// the limit, and where they have all that they may take, the oldest of them has to go for a new one, which may be
// anybody's. So a flood of them keeps nobody out for longer than it takes to show a token. A connection that has been
// upgraded is left a moment for its CONNECT.
//
// Some more than the limit are accepted to be told so (HTTP 503); more than those are closed at once.
type doors struct {
	limit      int // of all
	unverified int // of those without a good token
	extras     int // that may be told
	metrics    *metrics.Metrics
	log        *slog.Logger
	logged     *rate.Limiter

	mu     sync.Mutex
	open   int                     // without extras
	guests map[*wire.Socket]*guest // without a good token, and extras
	silent list.List               // of guests that have not been upgraded, oldest first
	begun  list.List               // of those that have
	extra  int
}

// guest is a connection that has not shown a good token.
type guest struct {
	socket   *wire.Socket
	extra    bool
	upgraded time.Time     // zero: not yet
	place    *list.Element // in silent or begun; nil: it does not count, as an extra or one that had to go
}

const (
	// upgradeGrace is how long a connection that was upgraded is left for its CONNECT, however many wait.
	upgradeGrace = time.Second
	// mostExtras bounds the connections that are told that there is no room.
	mostExtras = 32
)

// newDoors makes doors for at most so many connections; 0: as many as the file descriptors bear, which no limit exceeds.
func newDoors(limit int, m *metrics.Metrics, log *slog.Logger) *doors {
	borne, extras := Bearable()
	if limit == 0 || limit > borne {
		limit = borne
	}
	return &doors{limit: limit, unverified: limit - limit/10, extras: extras, metrics: m, log: log,
		logged: rate.NewLimiter(rate.Every(10*time.Second), 1), guests: map[*wire.Socket]*guest{}}
}

// Bearable is how many connections the process has file descriptors for: each takes two, its own and the broker's. A
// reserve stays for listeners, files, Redis (ten connections for each CPU), issuers and the extras, who take one each. (The
// Go runtime has raised the soft limit to the hard one.)
func Bearable() (connections, extras int) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		limit.Cur = 1024
	}
	return bearable(uint64(limit.Cur), runtime.GOMAXPROCS(0))
}

func bearable(descriptors uint64, cpus int) (connections, extras int) {
	all := int(min(descriptors, math.MaxInt32)) // no limit is the largest number there is
	reserve := min(64+12*cpus+mostExtras, all/4)
	return max(1, (all-reserve)/2), min(mostExtras, max(1, reserve/4))
}

// enter counts a connection that was accepted; false: there is no room, close it.
func (d *doors) enter(s *wire.Socket) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := &guest{socket: s}
	if d.open >= d.limit || d.silent.Len()+d.begun.Len() >= d.unverified {
		g.extra = !d.makeRoom()
	}
	switch {
	case !g.extra:
		d.open++
		d.metrics.ConnectionsOpen(1)
		g.place = d.silent.PushBack(g)
	case d.extra < d.extras:
		d.extra++
	default:
		d.turnAway()
		return false
	}
	d.guests[s] = g
	return true
}

// makeRoom ends the oldest connection that may be ended for a new one; false: there is none. mu is held.
func (d *doors) makeRoom() bool {
	oldest := d.silent.Front()
	if oldest == nil {
		oldest = d.begun.Front()
		if oldest == nil || time.Since(oldest.Value.(*guest).upgraded) < upgradeGrace {
			return false
		}
	}
	g := oldest.Value.(*guest)
	d.discount(g)
	d.turnAway()
	go func() { _ = g.socket.Close() }() // whoever serves it comes to leave
	return true
}

// turnAway counts a connection that was closed for want of room. mu is held.
func (d *doors) turnAway() {
	d.metrics.ConnectionTurnedAway()
	if d.logged.Allow() {
		d.log.Warn("connections are turned away", "open", d.open, "without_token", d.silent.Len()+d.begun.Len(), "limit", d.limit)
	}
}

// discount takes a guest out of those that count, if it is one. mu is held.
func (d *doors) discount(g *guest) {
	if g.place == nil {
		return
	}
	d.takeOff(g)
	d.open--
	d.metrics.ConnectionsOpen(-1)
}

// takeOff takes a guest off its list. mu is held.
func (d *doors) takeOff(g *guest) {
	if g.upgraded.IsZero() {
		d.silent.Remove(g.place)
	} else {
		d.begun.Remove(g.place)
	}
	g.place = nil
}

// upgrade reports whether a connection that asks for it may go on as a WebSocket; false: it is told that there is no room.
func (d *doors) upgrade(s *wire.Socket) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.guests[s]
	if g == nil || g.place == nil {
		return false
	}
	d.takeOff(g)
	g.upgraded = time.Now()
	g.place = d.begun.PushBack(g)
	return true
}

// verify notes that a connection has shown a good token.
func (d *doors) verify(s *wire.Socket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.guests[s]; g != nil && g.place != nil {
		d.takeOff(g)
		delete(d.guests, s)
	}
}

// follow is told by net/http how its connections fare. Of those that were upgraded it hears no end.
func (d *doors) follow(c net.Conn, state http.ConnState) {
	if state == http.StateClosed {
		d.leave(wire.Below(c))
	}
}

// leave is told of each connection that was let in, once, when it is closed.
func (d *doors) leave(s *wire.Socket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.guests[s]
	switch {
	case g == nil:
		d.open--
		d.metrics.ConnectionsOpen(-1)
		return
	case g.extra:
		d.extra--
	}
	d.discount(g)
	delete(d.guests, s)
}
