package session

import (
	"sync"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/subs"
)

// subscribe has each filter of a SUBSCRIBE judged on its own and sends on what is left of it.
func (u *up) subscribe(p frames.Packet) error {
	subscribe, err := frames.ParseSubscribe(p, u.version)
	if err != nil {
		return u.malformed(err)
	}
	if err := u.beginExchange(frames.TypeSubscribe, subscribe.PacketID); err != nil {
		return err
	}
	turn := u.table.Turn()
	defer turn.End()
	return u.carryOut(turn.Subscribe(&subscribe, u.access()), p, subscribe.Properties)
}

// unsubscribe undoes just what was asked for.
func (u *up) unsubscribe(p frames.Packet) error {
	unsubscribe, err := frames.ParseUnsubscribe(p, u.version)
	if err != nil {
		return u.malformed(err)
	}
	if err := u.beginExchange(frames.TypeUnsubscribe, unsubscribe.PacketID); err != nil {
		return err
	}
	turn := u.table.Turn()
	defer turn.End()
	return u.carryOut(turn.Unsubscribe(&unsubscribe), p, unsubscribe.Properties)
}

// carryOut does what is planned of p, the client's packet.
func (u *up) carryOut(plan *subs.Plan, p frames.Packet, properties frames.Properties) error {
	if u.sleep.item != nil && plan.Changes() { // the record takes its time, and is none of what came before
		if err := u.idle(); err != nil {
			return err
		}
	}
	all, err := u.commit(plan, properties)
	if err != nil {
		return err
	}
	for _, allowed := range plan.Allowed {
		u.auditAllowed(audit.Event{Action: audit.Subscribe, Topic: allowed.TopicFilter, QoS: uint8(allowed.QoS)})
	}
	for _, refused := range plan.Refused {
		u.rejectSubscribe(refused.Asked, reasonOf(refused.Decision), refused.Decision.Rule)
	}
	if plan.Outdated(u.access()) {
		u.requestReview()
	}
	if err := u.tellAccess(plan.Covers); err != nil {
		return err
	}
	if all.Relay {
		return u.forward(p.Raw)
	}
	if err := u.send(all.Packets); err != nil {
		return err
	}
	if all.Answer == nil {
		return nil
	}
	if err := u.answer(plan.PacketID(), all.Answer); err != nil {
		return err
	}
	return u.keepBrokerAwake()
}

// commit makes a plan true, after what it changes is kept: a client that comes back, however soon and wherever,
// finds what the broker was asked for. Who calls it has the turn, and no lock besides.
func (s *Session) commit(plan *subs.Plan, properties frames.Properties) (subs.Commitment, error) {
	committed, err := s.keep(plan)
	if err != nil {
		return subs.Commitment{}, err
	}
	defer committed()
	all, err := plan.Commit(&s.ids, properties)
	if err != nil {
		return all, ended(EndInternal, err)
	}
	return all, nil
}

// send sends packets of the gateway's making.
func (s *Session) send(packets []subs.Packet) error {
	for i := range packets {
		if err := s.upstream.Add(packets[i].Append(nil, s.version)); err != nil {
			return s.brokerWriteError(err)
		}
	}
	return nil
}

// maxOpenExchanges is how many SUBSCRIBEs and UNSUBSCRIBEs of the client's wait for the broker; more wait unread.
const maxOpenExchanges = 64

// exchanges counts those that wait for the broker. The zero value counts none.
type exchanges struct {
	mu    sync.Mutex
	open  int
	freed chan struct{} // closed when one has ended; nil: nobody waits
}

// begin adds one; else it returns what is closed when there may be room.
func (e *exchanges) begin() (wait <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open < maxOpenExchanges {
		e.open++
		return nil
	}
	if e.freed == nil {
		e.freed = make(chan struct{})
	}
	return e.freed
}

func (e *exchanges) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open--
	if e.freed != nil {
		close(e.freed)
		e.freed = nil
	}
}

// beginExchange waits for its turn and takes the client's Packet Identifier.
func (u *up) beginExchange(t frames.Type, packetID uint16) error {
	if u.table.Awaits(packetID) {
		return u.malformed(&frames.Error{Type: t, Code: frames.ProtocolError, Rule: "MQTT-2.2.1-3", Detail: "Packet Identifier in use"})
	}
	for wait := u.exchanges.begin(); wait != nil; wait = u.exchanges.begin() {
		if err := u.idle(); err != nil { // what the broker is to answer must be on its way
			return err
		}
		select {
		case <-wait:
		case <-u.Done():
			return u.cause()
		}
	}
	if !u.ids.Take(packetID) {
		return u.cause()
	}
	return nil
}
