package subs

import (
	"bytes"
	"testing"
	"time"

	"topicgate/frames"
)

func TestZZStale(t *testing.T) {
	const text = "pattern read room/{rooms}/#\n"
	both, one := accessTo(t, text, 2), accessTo(t, text, 1)
	c := newCostly(both)
	c.settings.NarrowMax = 1
	c.subscribe(1, "room/#")
	r, _ := c.Record("b")
	t.Logf("%+v %+v", r, r.Readable)
	turn := c.Turn()
	p := turn.Review(one)
	t.Logf("review: silent %v changes %v", p.Silent(), p.Changes())
	c.commit(p, nil)
	turn.End()
	// so r stays; the client comes back when it may read both again
	d := newCostly(both)
	d.settings.NarrowMax = 1
	turn = d.Turn()
	p = turn.Resume(r, "b", both)
	t.Logf("resume: silent %v %+v", p.Silent(), p.packets)
}

func TestZZProps(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 1000))
	var props frames.Properties
	props = props.AppendPair(frames.PropUserProperty, []byte("k"), bytes.Repeat([]byte("x"), 65000))
	s := frames.Subscribe{PacketID: 1, Properties: props, Filters: []frames.Subscription{{TopicFilter: "room/#"}}}
	turn := c.Turn()
	p := turn.Subscribe(&s, c.access)
	all, _ := p.Commit(&c.ids, props)
	n := 0
	for _, q := range all.Packets {
		n += len(q.Append(nil, frames.V5))
	}
	t.Logf("client's packet %d bytes, %d packets up, %d bytes", len(s.Append(nil, frames.V5)), len(all.Packets), n)
}

func TestZZTimes(t *testing.T) {
	everything := accessTo(t, "pattern read #\n", 0)
	timed := func(name string, prep func(n int) func()) {
		var last time.Duration
		for _, n := range []int{2000, 20000} {
			f := prep(n)
			b := time.Now()
			f()
			d := time.Since(b)
			if last > 0 {
				t.Logf("%-50s %10v %10v %.1f", name, last, d, float64(d)/float64(last))
			}
			last = d
		}
	}
	timed("unsub unknown", func(n int) func() { c := newCostly(everything); f := numbered("u/%d", n); return func() { c.unsubscribe(f...) } })
	timed("sub", func(n int) func() { c := newCostly(everything); f := numbered("u/%d", n); return func() { c.subscribe(1, f...) } })
	timed("sub again", func(n int) func() {
		c := newCostly(everything)
		f := numbered("u/%d", n)
		c.subscribe(1, f...)
		return func() { c.subscribe(1, f...) }
	})
	timed("sub again other id", func(n int) func() {
		c := newCostly(everything)
		f := numbered("u/%d", n)
		c.subscribe(1, f...)
		return func() { c.subscribe(2, f...) }
	})
	timed("unsub held", func(n int) func() {
		c := newCostly(everything)
		f := numbered("u/%d", n)
		c.subscribe(1, f...)
		return func() { c.unsubscribe(f...) }
	})
	timed("sub deep overlapping", func(n int) func() {
		c := newCostly(everything)
		f := numbered("+/u/%d/+/x", n)
		return func() { c.subscribe(1, f...) }
	})
	less := accessTo(t, "pattern read u/#\n", 0)
	more := accessTo(t, "pattern read u/#\npattern read v/#\n", 0)
	timed("review, all stay", func(n int) func() {
		c := newCostly(less)
		f := numbered("+/%d", n)
		c.subscribe(1, f...)
		return func() { turn := c.Turn(); c.commit(turn.Review(less), nil); turn.End() }
	})
	timed("review, all gain a piece", func(n int) func() {
		c := newCostly(less)
		f := numbered("+/%d", n)
		c.subscribe(1, f...)
		return func() { turn := c.Turn(); c.commit(turn.Review(more), nil); turn.End() }
	})
	timed("review, all lose", func(n int) func() {
		c := newCostly(more)
		f := numbered("+/%d", n)
		c.subscribe(1, f...)
		return func() { turn := c.Turn(); c.commit(turn.Review(less), nil); turn.End() }
	})
	timed("review, all fetch (over)", func(n int) func() {
		c := newCostly(more)
		c.settings.NarrowMax = 1
		f := numbered("+/%d", n)
		c.subscribe(1, f...)
		now := accessTo(t, "pattern read u/#\npattern read v/#\npattern read w/#\n", 0)
		return func() { turn := c.Turn(); c.commit(turn.Review(now), nil); turn.End() }
	})
	timed("record+resume", func(n int) func() {
		c := newCostly(more)
		f := numbered("+/%d", n)
		c.subscribe(1, f...)
		turn := c.Turn()
		p := turn.Review(more)
		turn.End()
		return func() { p.Record("b"); c.Record("b") }
	})
	// one message after all that
	timed("deliver with many fetches", func(n int) func() {
		c := newCostly(more)
		c.settings.NarrowMax = 1
		f := numbered("+/%d", n)
		c.subscribe(1, f...)
		now := accessTo(t, "pattern read u/#\npattern read v/#\npattern read w/#\n", 0)
		turn := c.Turn()
		p := turn.Review(now)
		if _, err := p.Commit(&c.ids, nil); err != nil {
			t.Fatal(err)
		}
		turn.End()
		return func() {
			for range 100 {
				pub := &frames.Publish{Retain: true, TopicName: []byte("w/1")}
				c.Deliver(pub, pub.TopicName, now)
			}
		}
	})
}
