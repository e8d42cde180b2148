package will

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"topicgate/auth"
	"topicgate/gateway/audit"
	"topicgate/gateway/registry"
	"topicgate/policy/store"
)

const (
	// late is for how long a vigil outlives the delay: the broker's begins when it notices the end.
	late = 2 * time.Second
	// timeout bounds one try of a step: to load the policy, to call a Will off.
	timeout = 5 * time.Second
	// skew is by how much the clocks of instances may differ. One that says of another session that it is newer must be
	// sure: to believe so wrongly lets a Will fire, to doubt it wrongly costs a client one new connection.
	skew = 5 * time.Second
	// noExpiry is the Session Expiry Interval of a Session without end (MQTT 5.0 section 3.1.2.11.2).
	noExpiry = math.MaxUint32
)

// vigil waits for the end of one Will Delay.
type vigil struct {
	*Vigils
	Left
	begun time.Time
	due   time.Time // when the Will has been published

	// Both are set by watch, at most once, or never.
	mu     sync.Mutex
	closed bool
	grant  *store.Grant
	timer  *time.Timer

	looking, again atomic.Bool // somebody looks; a change has come meanwhile
}

func newVigil(k *Vigils, left Left) *vigil {
	v := &vigil{Vigils: k, Left: left, begun: time.Now()}
	v.due = v.begun.Add(left.Will.Delay + late)
	if life := time.Duration(left.Expiry) * time.Second; left.Expiry != noExpiry && life < left.Will.Delay {
		v.due = v.begun.Add(life + late) // with the Session's end the delay is over
	}
	return v
}

func (v *vigil) place() place { return place{v.UpstreamID, v.Broker} }

// client is what is asked for to know whether the client has come back, by clocks that may differ by so much.
func (v *vigil) client(skew time.Duration) registry.Client {
	return registry.Client{ID: v.UpstreamID, Broker: v.Broker, Since: v.Since.Add(skew)}
}

// expiresIn is what is left of the Session Expiry Interval, in seconds.
func (v *vigil) expiresIn() uint32 {
	if v.Expiry == noExpiry {
		return noExpiry
	}
	gone := time.Since(v.begun) / time.Second
	return uint32(max(1, time.Duration(v.Expiry)-gone))
}

// watch begins to follow the policy.
func (v *vigil) watch() {
	ctx, cancel := context.WithTimeout(v.ctx, timeout)
	defer cancel()
	grant, err := v.Policy.Open(ctx, v.Principal, v.changed)
	if err != nil {
		if v.ctx.Err() == nil {
			v.callOff("policy_unavailable")
		}
		return
	}
	v.mu.Lock()
	closed := v.closed
	if !closed {
		v.grant, v.timer = grant, time.AfterFunc(time.Until(v.due), func() { v.end(v) })
	}
	v.mu.Unlock()
	if closed {
		grant.Close()
		return
	}
	v.changed() // what came between
}

// close is called once, by whoever has ended the vigil.
func (v *vigil) close() {
	v.mu.Lock()
	v.closed = true
	grant, timer := v.grant, v.timer
	v.mu.Unlock()
	if grant != nil {
		timer.Stop()
		grant.Close()
	}
}

// follows is the grant that is followed; nil: not yet, or no more.
func (v *vigil) follows() *store.Grant {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	return v.grant
}

// changed is called by the policy store after each change that concerns the user.
func (v *vigil) changed() {
	v.again.Store(true)
	if v.looking.CompareAndSwap(false, true) {
		v.run(v.look)
	}
}

// look judges the Will, and calls it off if it may not be published.
func (v *vigil) look() {
	for v.again.Swap(false) {
		grant := v.follows()
		if grant == nil {
			break // watch looks when there is one
		}
		if reason := v.rejects(grant); reason != "" && v.callOff(reason) {
			return // nobody looks again
		}
	}
	v.looking.Store(false)
	if v.again.Load() && v.follows() != nil && v.looking.CompareAndSwap(false, true) {
		v.look()
	}
}

// rejects is why the Will may not be published; "": it may.
func (v *vigil) rejects(grant *store.Grant) (reason string) {
	d, refusal := v.Will.Judge(grant, v.Principal.Username)
	switch {
	case refusal != nil:
		return refusal.Reason
	case !d.Allowed:
		return cmp.Or(d.Reason, "policy")
	}
	return ""
}

// callOff calls the Will off, unless the client has come back, which has done that. What fails is tried again until the
// Will is due. False: it may be published after all, and the vigil goes on.
func (v *vigil) callOff(reason string) (ended bool) {
	ctx, cancel := context.WithDeadline(v.ctx, v.due)
	defer cancel()
	pauses := backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: time.Minute}
	for {
		needless, err := v.tryCallOff(ctx)
		pause := pauses.NextBackOff()
		switch {
		case needless || v.ctx.Err() != nil:
			v.end(v)
			return true
		case err == nil || time.Until(v.due) <= pause:
			v.tell(reason, err)
			v.end(v)
			return true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if grant := v.follows(); grant != nil && v.rejects(grant) == "" {
			return false
		}
	}
}

// tryCallOff tries once, when it is this vigil's turn; needless: there is nothing to call off any more.
func (v *vigil) tryCallOff(ctx context.Context) (needless bool, err error) {
	if err := v.turns.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer v.turns.Release(1)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if v.isClosed() || v.Registry.Elsewhere(ctx, v.client(skew)) || v.isClosed() {
		return true, nil
	}
	return false, v.visit(ctx, v)
}

func (v *vigil) isClosed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// tell tells how it has gone.
func (v *vigil) tell(reason string, err error) {
	v.CalledOff(reason, err == nil)
	attributes := []any{"session_id", v.Session, "username", v.Principal.Username, "reason", reason}
	if err != nil {
		v.Logger.Warn("will not called off that may not be published any more", append(attributes, "err", err.Error())...)
		return
	}
	v.Logger.Log(context.Background(), slog.LevelInfo, "will called off that may not be published any more", attributes...)
	if v.Audit != nil {
		v.Audit.Record(audit.Event{Action: audit.Will, Decision: audit.Refused, Instance: v.Instance, Session: v.Session, User: v.Principal.Username,
			Issuer: v.Principal.Issuer, ClientID: v.Principal.ClientID, Remote: v.Remote, Topic: auth.Mask(v.Will.Topic), QoS: uint8(v.Will.QoS),
			Retain: v.Will.Retain, Bytes: v.Will.Bytes, Reason: reason})
	}
}
