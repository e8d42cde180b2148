package session

import (
	"sync"

	"topicgate/frames"
)

// packetIDs knows which Packet Identifiers are in use between this session and its broker: by the
// client, and by the gateway itself for packets of its own [MQTT-2.2.1-3]. The zero value is
// ready to use.
type packetIDs struct {
	mu     sync.Mutex
	client idSet
	second idSet // of these, the client's QoS 2 publishes
	own    map[uint16]struct{}
	freed  *sync.Cond // when one of own was given back, or closed; nil: nobody has waited
	closed bool

	// blocked is called before take waits, which it would do for ever if the packet whose answer it
	// waits for were still unsent; nil: nothing is.
	blocked func()
}

// take marks id as used by the client. While the gateway itself uses it, take waits: the
// client's packets wait behind it, as they would behind a slow broker. False: the session ended.
func (p *packetIDs) take(id uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for told := false; len(p.own) > 0 && !p.closed; {
		if _, taken := p.own[id]; !taken {
			break
		}
		if !told && p.blocked != nil {
			told = true
			p.mu.Unlock()
			p.blocked()
			p.mu.Lock()
			continue
		}
		if p.freed == nil {
			p.freed = sync.NewCond(&p.mu)
		}
		p.freed.Wait()
	}
	p.client.add(id)
	return !p.closed
}

// takePublish is take for a PUBLISH.
func (p *packetIDs) takePublish(id uint16, qos frames.QoS) bool {
	if !p.take(id) {
		return false
	}
	if qos == 2 {
		p.mu.Lock()
		p.second.add(id)
		p.mu.Unlock()
	}
	return true
}

// publishing reports whether id is that of a PUBLISH which the broker has and has not completed.
func (p *packetIDs) publishing(id uint16, qos frames.QoS) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if qos == 2 {
		return p.second.has(id)
	}
	return p.client.has(id)
}

// release marks id as no longer used by the client.
func (p *packetIDs) release(id uint16) {
	p.mu.Lock()
	p.client.remove(id)
	p.second.remove(id)
	p.mu.Unlock()
}

// takeOwn picks an identifier for a packet of the gateway's own; false: there is none.
func (p *packetIDs) takeOwn() (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// From the top: clients count upwards.
	for id := uint16(65535); id > 0; id-- {
		if _, taken := p.own[id]; taken || p.client.has(id) {
			continue
		}
		if p.own == nil {
			p.own = map[uint16]struct{}{}
		}
		p.own[id] = struct{}{}
		return id, true
	}
	return 0, false
}

// releaseOwn gives an identifier of takeOwn back; false: it was none.
func (p *packetIDs) releaseOwn(id uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.own[id]; !taken {
		return false
	}
	delete(p.own, id)
	if p.freed != nil {
		p.freed.Broadcast()
	}
	return true
}

// isOwn reports whether id is the gateway's own at the moment.
func (p *packetIDs) isOwn(id uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, taken := p.own[id]
	return taken
}

// close wakes up who waits in take.
func (p *packetIDs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.freed != nil {
		p.freed.Broadcast()
	}
}

// idSet is a set of Packet Identifiers, none of which is 0 [MQTT-2.2.1-3]. The zero value is empty. The first
// few have a place of their own, so that most sessions need no more; what does not fit has a bit each, in
// pages that are made when one of their identifiers is first added. At most 8.5 KiB.
type idSet struct {
	few   [4]uint16 // 0: free
	pages *[64]*[16]uint64
}

func (s *idSet) add(id uint16) {
	if s.has(id) {
		return
	}
	for i := range s.few {
		if s.few[i] == 0 {
			s.few[i] = id
			return
		}
	}
	if s.pages == nil {
		s.pages = new([64]*[16]uint64)
	}
	page := &s.pages[id>>10]
	if *page == nil {
		*page = new([16]uint64)
	}
	(*page)[id>>6&15] |= 1 << (id & 63)
}

func (s *idSet) remove(id uint16) {
	for i := range s.few {
		if s.few[i] == id {
			s.few[i] = 0
			return
		}
	}
	if s.pages != nil && s.pages[id>>10] != nil {
		s.pages[id>>10][id>>6&15] &^= 1 << (id & 63)
	}
}

func (s *idSet) has(id uint16) bool {
	for _, f := range s.few {
		if f == id {
			return true
		}
	}
	return s.pages != nil && s.pages[id>>10] != nil && s.pages[id>>10][id>>6&15]&(1<<(id&63)) != 0
}
