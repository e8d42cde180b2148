package session

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy"
	"topicgate/policy/store"
)

// A Will with a Will Delay waits at the broker after its session has ended. Until the delay is over the gateway keeps
// vigil: the Will is judged again at each change of the policy, and one that may not be published any more is called
// off, by taking the MQTT Session over for a moment [MQTT-3.1.3-9]. (Of a blocked user package evict ends all that sleeps.)
//
// Nobody keeps vigil for what a gateway left behind that has ended itself.

const (
	// mostVigils and mostVigilsOfUser bound how many are kept; a Will beyond that is called off at once.
	mostVigils       = 10_000
	mostVigilsOfUser = 100
	// vigilMargin is how much longer than the delay is watched, for clocks that go apart.
	vigilMargin = 2 * time.Second
	// callOffTimeout bounds a connection that calls a Will off.
	callOffTimeout = 5 * time.Second
)

// vigils are all that are kept. The zero value is ready for use.
type vigils struct {
	mu     sync.Mutex
	kept   map[*vigil]struct{}
	users  map[string]int
	closed bool
	ending sync.WaitGroup // looks that are under way
}

// vigil is one of them.
type vigil struct {
	host       *Host
	username   string
	clientID   string
	upstreamID string
	broker     string // that has the Will
	sessionID  string
	will       *will
	until      time.Time // of the MQTT Session
	end        *time.Timer

	grant   *store.Grant
	ready   atomic.Bool // grant is set
	looking atomic.Bool
	again   atomic.Bool // a change has come while somebody looks
}

// keepVigil begins one for a session that has left its broker, if its Will waits there.
func (s *Session) keepVigil(end EndReason) {
	if s.will == nil || s.will.delay == 0 || s.sleep.item == nil || s.sleep.over || end == EndTakenOver || end == EndBlocked {
		return
	}
	lives := s.sleep.ttl - sleepMargin
	v := &vigil{host: s.host, username: s.whose.username(), clientID: s.clientID, upstreamID: s.upstreamID, broker: s.broker.Address, sessionID: s.id,
		will: s.will, until: time.Now().Add(lives)}
	if !s.host.vigils.begin(v) {
		s.host.vigils.ending.Go(func() { v.callOff(policy.ReasonUnavailable) })
		return
	}
	principal := s.principal()
	s.host.vigils.ending.Go(func() { v.watch(principal, min(v.will.delay, lives)+vigilMargin) })
}

// watch begins to follow the policy, for a time.
func (v *vigil) watch(principal policy.Principal, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), callOffTimeout)
	defer cancel()
	grant, err := v.host.Policy.Open(ctx, principal, v.changed)
	if err != nil {
		v.host.vigils.forget(v)
		v.callOff(policy.ReasonUnavailable)
		return
	}
	v.grant = grant
	v.end = time.AfterFunc(within, func() { v.host.vigils.forget(v) })
	v.ready.Store(true)
	if !v.host.vigils.has(v) { // closed meanwhile
		v.end.Stop()
		grant.Close()
		return
	}
	v.changed() // what came between
}

// begin counts one more; false: there are too many, or the gateway closes.
func (w *vigils) begin(v *vigil) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.kept) >= mostVigils || w.users[v.username] >= mostVigilsOfUser {
		return false
	}
	if w.kept == nil {
		w.kept, w.users = map[*vigil]struct{}{}, map[string]int{}
	}
	w.kept[v] = struct{}{}
	w.users[v.username]++
	return true
}

func (w *vigils) has(v *vigil) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, kept := w.kept[v]
	return kept
}

// forget ends a vigil; false: it has ended before.
func (w *vigils) forget(v *vigil) bool {
	w.mu.Lock()
	_, kept := w.kept[v]
	if kept {
		delete(w.kept, v)
		if w.users[v.username]--; w.users[v.username] == 0 {
			delete(w.users, v.username)
		}
	}
	w.mu.Unlock()
	if kept && v.ready.Load() {
		v.end.Stop()
		v.grant.Close()
	}
	return kept
}

// close ends all vigils. Their Wills fire.
func (w *vigils) close() {
	w.mu.Lock()
	w.closed = true
	var all []*vigil
	for v := range w.kept {
		all = append(all, v)
	}
	w.mu.Unlock()
	for _, v := range all {
		w.forget(v)
	}
	w.ending.Wait()
}

// changed is called by the policy store after each change that concerns the user.
func (v *vigil) changed() {
	if !v.ready.Load() {
		return
	}
	v.again.Store(true)
	if v.looking.CompareAndSwap(false, true) {
		v.host.vigils.ending.Go(v.look)
	}
}

// look judges the Will, and calls it off if it may not be published.
func (v *vigil) look() {
	for v.again.Swap(false) {
		r := v.host.judgeWill(v.grant, v.username, v.will)
		switch {
		case r == nil && v.grant.Standing() == store.Good:
			continue
		case r == nil:
			r = &rejection{reason: "policy"}
		}
		if v.host.vigils.forget(v) {
			v.callOff(r.reason)
		}
		return
	}
	v.looking.Store(false)
	if v.again.Load() && v.looking.CompareAndSwap(false, true) {
		v.look()
	}
}

// callOff calls the Will off, unless the client has come back, which has done that.
func (v *vigil) callOff(reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), callOffTimeout)
	defer cancel()
	if v.host.TakenOver(nil, v.upstreamID) || v.host.Registry.TakenOver(ctx, v.upstreamID) {
		return
	}
	name, password := v.host.UpstreamCredentials(v.username)
	seconds := max(1, uint32(time.Until(v.until)/time.Second))
	err := v.host.Brokers.Visit(ctx, v.broker, frames.Connect{ClientID: v.upstreamID, HasUsername: name != "", Username: name,
		HasPassword: password != "", Password: []byte(password), Properties: frames.Properties(nil).AppendUint(frames.PropSessionExpiryInterval, seconds)})
	attributes := []any{"session_id", v.sessionID, "username", v.username}
	if err != nil {
		v.host.Logger.Warn("will not called off that may not be published any more", append(attributes, "err", err.Error())...)
		return
	}
	v.host.Logger.Log(ctx, slog.LevelInfo, "will called off that may not be published any more", attributes...)
	v.host.Metrics.Rejected("will", reason)
	v.host.Audit.Record(audit.Event{Action: audit.Will, Decision: audit.Refused, Instance: v.host.Instance, Session: v.sessionID, User: v.username,
		ClientID: v.clientID, Topic: auth.Mask(v.will.topicName), QoS: uint8(v.will.qos), Retain: v.will.retain, Bytes: v.will.bytes, Reason: reason})
}
