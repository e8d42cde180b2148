package session

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"topicgate/frames"
)

// Of messages of QoS 0 on a topic with the directive `latest` only the newest waits for a client that does not keep up: a
// progress bar, a price. While the client has more unread than behindBytes, such messages go into a table, the newest of
// each topic in place of the one before, and from there to the client as it reads. What else comes is held back as ever.

const (
	// behindBytes is how much a client that keeps up may have unread, on its way or at its side.
	behindBytes = 16 << 10
	// latestBatch is how much goes to a client that is behind before it is looked at again.
	latestBatch = 4 << 10
	// latestPause is between two looks at a client that is behind.
	latestPause = 10 * time.Millisecond
	// latestProbe is how long a client that has much unread gets nothing. What it has unread it says when it acknowledges
	// something, so it has to get something.
	latestProbe = 100 * time.Millisecond
	// latestTopics and latestBytes bound what waits. What is beyond is held back as if there were no directive.
	latestTopics = 1000
	latestBytes  = 1 << 20
)

// waiting is the newest message of a topic.
type waiting struct {
	key    string // of the table
	topic  string
	packet []byte // whole
	retain bool
	bytes  int // of the payload
}

// latest is what waits for one client.
type latest struct {
	mu      sync.Mutex
	byKey   map[string]*waiting
	order   []*waiting // who has waited for longest first
	bytes   int
	running bool // somebody empties it

	writers sync.WaitGroup // who empty it
	window  atomic.Uint32  // see wire.Socket.Backlog

	// Owned by down.
	looked  time.Time // at the client
	behind  bool      // so it was
	since   int       // bytes of such messages that were forwarded since
	scratch []byte
}

// put takes a message in, in place of the one of the same key; false: there is no room, and none of that key waits any
// more. replaced tells whether one did. start: somebody has to empty the table, which the caller sees to.
func (l *latest) put(key, topicName []byte, publish *frames.Publish, packet []byte) (ok, replaced, start bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.byKey[string(key)]
	replaced = w != nil
	if w == nil {
		w = &waiting{key: string(key), topic: string(topicName)}
	}
	grown := len(packet) - len(w.packet)
	if !replaced && len(l.order) >= latestTopics || l.bytes+grown > latestBytes {
		if replaced {
			l.drop(w)
		}
		return false, replaced, false
	}
	if l.byKey == nil {
		l.byKey = map[string]*waiting{}
	}
	if !replaced {
		l.byKey[w.key] = w
		l.order = append(l.order, w)
	}
	l.bytes += grown
	w.packet = append(w.packet[:0], packet...)
	w.retain, w.bytes = publish.Retain, len(publish.Payload)
	start = !l.running
	l.running = true
	return true, replaced, start
}

// drop takes one out that is not the next.
func (l *latest) drop(w *waiting) {
	delete(l.byKey, w.key)
	l.bytes -= len(w.packet)
	w.packet = nil // take passes it over
}

// take hands out who has waited for longest, of about so many bytes. None: the table is empty, and nobody empties it
// any more.
func (l *latest) take(most int) (some []*waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for most > 0 && len(l.order) > 0 {
		w := l.order[0]
		l.order[0] = nil
		if l.order = l.order[1:]; w.packet == nil {
			continue
		}
		most -= len(w.packet)
		delete(l.byKey, w.key)
		l.bytes -= len(w.packet)
		some = append(some, w)
	}
	if len(some) == 0 {
		l.order, l.running = nil, false
	}
	return some
}

// isRunning reports whether messages wait, so that newer ones must not overtake them.
func (l *latest) isRunning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// await returns when nobody empties the table any more. The session has ended.
func (l *latest) await() {
	if l != nil {
		l.writers.Wait()
	}
}

// keepLatest has a PUBLISH wait of which only the newest counts, if the client is behind; false: forward it.
func (dn *down) keepLatest(publish *frames.Publish, topicName []byte, aliased bool) (kept bool, err error) {
	if dn.latest == nil {
		dn.latest = &latest{}
	}
	l := dn.latest
	size := len(topicName) + len(publish.Payload) + len(publish.Properties) + propertyOverhead
	if !l.isRunning() {
		if behind, err := dn.isBehind(size); err != nil || !behind {
			return false, err
		}
	}
	whole := *publish
	whole.TopicName = topicName
	if aliased { // another one that waits may be dropped, and what it says of the alias
		dn.properties = appendWithout(dn.properties[:0], publish.Properties, frames.PropTopicAlias)
		whole.Properties = dn.properties
	}
	l.scratch = whole.Append(l.scratch[:0], dn.version)
	if len(l.scratch) > int(dn.clientMaximum) {
		return false, nil
	}
	ok, replaced, start := l.put(latestKey(topicName, whole.Properties), topicName, &whole, l.scratch)
	if replaced {
		dn.host.Metrics.Conflated()
	}
	if start {
		l.writers.Go(dn.catchUp)
	}
	if cap(l.scratch) > keptScratch {
		l.scratch = nil
	}
	return ok, nil
}

// latestKey is what messages are alike by: the topic, and the subscriptions that they come for.
func latestKey(topicName []byte, properties frames.Properties) []byte {
	key := append(make([]byte, 0, 64), topicName...)
	for p := range properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier {
			key = append(append(key, 0), p.Encoded...)
		}
	}
	return key
}

// isBehind looks at the client, but not at each message of a few bytes.
func (dn *down) isBehind(size int) (bool, error) {
	l := dn.latest
	now := time.Now()
	if l.since += size; l.since > latestBatch || now.Sub(l.looked) > latestPause {
		if err := dn.client.Flush(); err != nil { // what is in the batch the client has not read either
			return false, dn.clientWriteError(err)
		}
		sent, unread, known := dn.clientSocket.Backlog(&l.window)
		l.looked, l.since, l.behind = now, 0, known && sent+unread > behindBytes
	}
	return l.behind, nil
}

// progress is how a client's backlog goes on.
type progress struct {
	backlog int
	since   time.Time // when it last changed
}

// stalls is for how long the backlog has been what it is.
func (p *progress) stalls(backlog int, now time.Time) time.Duration {
	if backlog != p.backlog || p.since.IsZero() {
		p.backlog, p.since = backlog, now
	}
	return now.Sub(p.since)
}

// catchUp empties the table as the client reads, until nothing waits or the session ends. A client whose backlog stays
// what it is reads nothing, and is as slow as one that a write waits for; one that has much before it only takes its time.
func (dn *down) catchUp() {
	l := dn.latest
	pause := time.NewTicker(latestPause)
	defer pause.Stop()
	var reads progress
	for last := time.Now(); ; {
		select {
		case <-dn.end.done:
			return
		case <-pause.C:
		}
		batch := latestBatch
		if sent, unread, known := dn.clientSocket.Backlog(&l.window); known && sent+unread > behindBytes {
			now := time.Now()
			switch {
			case reads.stalls(sent+unread, now) > dn.host.WriteTimeout:
				dn.finish(ended(EndClientSlow, errors.New("it reads nothing")))
				return
			case sent > 0 || now.Sub(last) < latestProbe:
				continue
			}
			batch = 1 // by its acknowledgement one hears how much is unread now
		}
		last = time.Now()
		some := l.take(batch)
		if len(some) == 0 {
			return
		}
		if err := dn.deliverLatest(some); err != nil {
			dn.finish(dn.clientWriteError(err))
			return
		}
	}
}

// deliverLatest sends what may still be read.
func (dn *down) deliverLatest(some []*waiting) error {
	access := dn.access()
	for _, w := range some {
		topicName := []byte(w.topic)
		if d := access.Receive(topicName); !d.Allowed {
			dn.rejectDelivery(&frames.Publish{Retain: w.retain, Payload: w.packet[:w.bytes]}, topicName, d)
			continue
		}
		if err := dn.client.Add(w.packet); err != nil {
			return err
		}
	}
	return dn.client.Flush()
}
