package upstream

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"topicgate/gateway/wire"
)

const (
	// probeFresh is how long a broker that has answered needs not be dialed to know that it is there.
	probeFresh = 5 * time.Second
	// probeEvery is the least time between two dials of one broker for a probe, whoever asks.
	probeEvery = time.Second
	// probeTimeout bounds one.
	probeTimeout = 2 * time.Second
)

// probe is what is known of a broker without a client. The connection that was made to know it is kept for the next
// client: a broker sees no connection that nobody uses, if one comes soon.
type probe struct {
	mu    sync.Mutex // held over a dial
	at    time.Time  // of the last dial
	err   error      // that it ended with
	spare net.Conn   // nil: none
	end   *time.Timer
}

// Probe tells of each broker, by its address, what keeps clients from it; nil: it answered a CONNECT just now, or can be
// dialed. It takes a few seconds at most.
func (b *Brokers) Probe(ctx context.Context) map[string]error {
	errs := make([]error, len(b.all))
	var dialing sync.WaitGroup
	for i, one := range b.all {
		dialing.Go(func() { errs[i] = b.probe(ctx, one) })
	}
	dialing.Wait()
	found := make(map[string]error, len(b.all))
	for i, one := range b.all {
		found[one.address] = errs[i]
	}
	return found
}

func (b *Brokers) probe(ctx context.Context, one *broker) error {
	if time.Since(time.Unix(0, one.answered.Load())) < probeFresh {
		return nil
	}
	p := &one.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spare != nil && isOpen(p.spare) {
		return nil
	}
	p.drop()
	if time.Since(p.at) < probeEvery {
		return p.err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	d := b.Dial("", netip.AddrPort{}, nil)
	conn, err := d.dial(ctx, one)
	if err == nil && one.tls {
		made := d.begin(ctx, one, conn)
		made.conn.Close()
		err = made.err
	} else if err == nil {
		p.spare = conn
		p.end = time.AfterFunc(probeFresh, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.spare == conn {
				p.drop()
			}
		})
	}
	if err != nil {
		b.away(one.address)
	}
	p.at, p.err = time.Now(), err
	return err
}

// take hands out the spare connection; nil: there is none.
func (p *probe) take() net.Conn {
	if !p.mu.TryLock() {
		return nil
	}
	defer p.mu.Unlock()
	conn := p.spare
	if conn == nil {
		return nil
	}
	p.end.Stop()
	p.spare = nil
	if !isOpen(conn) {
		_ = conn.Close()
		return nil
	}
	return conn
}

// drop closes the spare connection, if there is one. mu is held.
func (p *probe) drop() {
	if p.spare != nil {
		p.end.Stop()
		_ = p.spare.Close()
		p.spare = nil
	}
}

// isOpen reports whether the other end has neither closed nor said anything.
func isOpen(c net.Conn) bool {
	readable, err := wire.NewSocket(c).Look()
	return !readable && err == nil
}
