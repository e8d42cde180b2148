package subs

import (
	"sync"

	"topicgate/frames"
)

// IDs knows which Packet Identifiers are in use between this session and its broker: by the
// client, and by the gateway itself for packets of its own [MQTT-2.2.1-3]. The zero value is
// ready to use.
type IDs struct {
	mu     sync.Mutex
	client IDSet
	second IDSet // of these, the client's QoS 2 publishes
	own    map[uint16]struct{}
	freed  *sync.Cond // when one of own was given back, or closed; nil: nobody has waited
	closed bool
	top    uint16 // so many identifiers from the top are taken, at least

	// Blocked is called before Take waits, which it would do for ever if the packet whose answer it
	// waits for were still unsent; nil: nothing is.
	Blocked func()
}

// Take marks id as used by the client. While the gateway itself uses it, take waits: the
// client's packets wait behind it, as they would behind a slow broker. False: the session ended.
func (p *IDs) Take(id uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for told := false; len(p.own) > 0 && !p.closed; {
		if _, taken := p.own[id]; !taken {
			break
		}
		if !told && p.Blocked != nil {
			told = true
			p.mu.Unlock()
			p.Blocked()
			p.mu.Lock()
			continue
		}
		if p.freed == nil {
			p.freed = sync.NewCond(&p.mu)
		}
		p.freed.Wait()
	}
	p.client.Add(id)
	return !p.closed
}

// TakePublish is Take for a PUBLISH.
func (p *IDs) TakePublish(id uint16, qos frames.QoS) bool {
	if !p.Take(id) {
		return false
	}
	if qos == 2 {
		p.mu.Lock()
		p.second.Add(id)
		p.mu.Unlock()
	}
	return true
}

// Publishing reports whether id is that of a PUBLISH which the broker has and has not completed.
func (p *IDs) Publishing(id uint16, qos frames.QoS) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if qos == 2 {
		return p.second.Has(id)
	}
	return p.client.Has(id)
}

// Release marks id as no longer used by the client.
func (p *IDs) Release(id uint16) {
	p.mu.Lock()
	p.client.Remove(id)
	p.second.Remove(id)
	p.top = min(p.top, 65535-id)
	p.mu.Unlock()
}

// TakeOwn picks an identifier for a packet of the gateway's own; false: there is none.
func (p *IDs) TakeOwn() (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := 65535 - p.top; id > 0; id-- { // clients count upwards
		if _, taken := p.own[id]; taken || p.client.Has(id) {
			continue
		}
		if p.own == nil {
			p.own = map[uint16]struct{}{}
		}
		p.own[id], p.top = struct{}{}, 65535-id+1
		return id, true
	}
	return 0, false
}

// ReleaseOwn gives an identifier of TakeOwn back; false: it was none.
func (p *IDs) ReleaseOwn(id uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.own[id]; !taken {
		return false
	}
	delete(p.own, id)
	p.top = min(p.top, 65535-id)
	if p.freed != nil {
		p.freed.Broadcast()
	}
	return true
}

// IsOwn reports whether id is the gateway's own at the moment.
func (p *IDs) IsOwn(id uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, taken := p.own[id]
	return taken
}

// Close wakes up who waits in Take.
func (p *IDs) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.freed != nil {
		p.freed.Broadcast()
	}
}

// IDSet is a set of Packet Identifiers, none of which is 0 [MQTT-2.2.1-3]. The zero value is empty. The first
// few have a place of their own, so that most sessions need no more; what does not fit has a bit each, in
// pages that are made when one of their identifiers is first added. At most 8.5 KiB.
type IDSet struct {
	few   [4]uint16 // 0: free
	pages *[64]*[16]uint64
}

func (s *IDSet) Add(id uint16) {
	if s.Has(id) {
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

func (s *IDSet) Remove(id uint16) {
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

func (s *IDSet) Has(id uint16) bool {
	for _, f := range s.few {
		if f == id {
			return true
		}
	}
	return s.pages != nil && s.pages[id>>10] != nil && s.pages[id>>10][id>>6&15]&(1<<(id&63)) != 0
}
