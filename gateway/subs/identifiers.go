package subs

// Subscription Identifiers of the gateway's own, the aliases, stand for a held filter that several subscriptions
// share, and for one that only fetches retained messages. The client never sees them.
const (
	maxSubscriptionID = 268435455 // section 3.8.2.1.2
	manyRetired       = 64        // from so many on, aliases that are no longer in use are used again
)

// aliases knows the identifiers of the gateway's own. The zero value has none.
type aliases struct {
	held    map[uint32]*held // in use, or used last
	retired []uint32         // no longer in use, the oldest first; messages may still be under way
	client  map[uint32]int   // subscriptions by identifiers of the client's; nil before the first alias
	lowest  uint32           // the lowest that was ever given away; 0: none

	strangers bool // the broker may hold filters of older connections, under identifiers that nobody knows
}

// of is the filter that an identifier stands for; nil: it is no alias.
func (a *aliases) of(id uint32) *held { return a.held[id] }

// note counts an identifier that a subscription of the client's has, or had.
func (a *aliases) note(id uint32, n int) {
	if a.client == nil || id == 0 {
		return
	}
	if a.client[id] += n; a.client[id] == 0 {
		delete(a.client, id)
	}
}

// countIdentifiers begins to count the client's identifiers. t.mu is held.
func (t *Table) countIdentifiers() {
	a := &t.aliases
	if a.client != nil {
		return
	}
	a.client = map[uint32]int{}
	for _, s := range t.asked {
		a.note(s.id, 1)
	}
}

// strange reports whether nobody has given the broker this identifier in this connection: it is the gateway's of an
// earlier one.
func (a *aliases) strange(id uint32) bool {
	return a.strangers && a.client[id] == 0 && a.held[id] == nil
}

// newAlias finds an identifier for h, which is h's once the plan is committed.
func (p *Plan) newAlias(h *held) uint32 {
	a := &p.t.aliases
	p.t.mu.Lock() // an answer retires some
	p.t.countIdentifiers()
	id := uint32(0)
	if len(a.retired)-p.reused >= manyRetired {
		id = a.retired[p.reused]
		p.reused++
	}
	p.t.mu.Unlock()
	if id == 0 {
		id = p.lowest()
	}
	p.aliases = append(p.aliases, alias{id, h})
	return id
}

// lowest is the next identifier that nobody has.
func (p *Plan) lowest() uint32 {
	a := &p.t.aliases
	if p.lastAlias == 0 {
		p.lastAlias = a.lowest
	}
	if p.lastAlias == 0 {
		p.lastAlias = maxSubscriptionID + 1
	}
	for {
		p.lastAlias--
		if a.client[p.lastAlias] == 0 && a.held[p.lastAlias] == nil && p.lastAlias != p.id {
			return p.lastAlias
		}
	}
}

// alias is one that a plan gives away.
type alias struct {
	id   uint32
	held *held
}

// identifierOf is the Subscription Identifier under which what is touched is held upstream once the plan is
// committed: its owners', if they have the same.
func (p *Plan) identifierOf(c *touched) uint32 {
	if p.t.aliases.of(c.held.id) == c.held && c.held.id != 0 {
		return c.held.id
	}
	// Without an alias all that owned it so far have its identifier.
	id, same := c.held.id, true
	if stay := int(c.wants.total()) - len(c.joined); stay == 0 {
		id = c.joined[0].id
	}
	for _, j := range c.joined {
		same = same && j.id == id
	}
	if !same || p.t.aliases.of(id) != nil { // the client has come upon it itself
		return p.newAlias(c.held)
	}
	return id
}
