package session

import (
	"testing"
	"testing/synctest"

	"topicgate/frames"
)

func TestOwnPacketIDsAreFree(t *testing.T) {
	var p packetIDs
	for _, id := range []uint16{65535, 65533} {
		if !p.takePublish(id, 1) {
			t.Fatal("take = false")
		}
	}
	for _, want := range []uint16{65534, 65532} {
		if id, ok := p.takeOwn(); !ok || id != want || !p.isOwn(id) {
			t.Errorf("takeOwn() = %d, %v; want %d", id, ok, want)
		}
	}
	p.release(65535)
	if id, _ := p.takeOwn(); id != 65535 {
		t.Errorf("takeOwn() = %d; want 65535, which was released", id)
	}
	if p.releaseOwn(65533) || !p.releaseOwn(65534) || p.releaseOwn(65534) {
		t.Error("releaseOwn took one that is the client's, or one twice")
	}
}

func TestAllPacketIDsCanBeInUse(t *testing.T) {
	var p packetIDs
	for id := uint16(1); id != 0; id++ {
		p.take(id)
	}
	if id, ok := p.takeOwn(); ok {
		t.Errorf("takeOwn() = %d; want none", id)
	}
	p.release(1)
	if id, ok := p.takeOwn(); !ok || id != 1 {
		t.Errorf("takeOwn() = %d, %v; want 1", id, ok)
	}
}

func TestWhoTakesAnOwnPacketIDWaitsForItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p packetIDs
		flushed := 0
		p.blocked = func() { flushed++ }
		id, _ := p.takeOwn()
		took := make(chan bool, 1)
		go func() { took <- p.take(id) }()
		synctest.Wait()
		if len(took) > 0 || flushed != 1 {
			t.Fatalf("took an identifier in use, or what it waits for was sent %d times; want once", flushed)
		}
		p.releaseOwn(id)
		if !<-took {
			t.Error("take = false; want true")
		}
		p.release(id)
		id, _ = p.takeOwn()
		go func() { took <- p.take(id) }()
		synctest.Wait()
		p.close()
		if <-took {
			t.Error("take = true after close; want false")
		}
	})
}

func TestPublishingKnowsTheQoS(t *testing.T) {
	var p packetIDs
	p.takePublish(1, 1)
	p.takePublish(2, 2)
	for _, tt := range []struct {
		id   uint16
		qos  frames.QoS
		want bool
	}{{1, 1, true}, {1, 2, false}, {2, 2, true}, {3, 1, false}} {
		if got := p.publishing(tt.id, tt.qos); got != tt.want {
			t.Errorf("publishing(%d, %d) = %v; want %v", tt.id, tt.qos, got, tt.want)
		}
	}
	p.release(2)
	if p.publishing(2, 2) {
		t.Error("publishing(2, 2) = true after release")
	}
}

func TestFewPacketIDsNeedNoPages(t *testing.T) {
	var s idSet
	for id := uint16(1); id < 1000; id++ {
		s.add(id)
		s.add(id) // again: it has its place
		if !s.has(id) || s.has(id+1) {
			t.Fatalf("has(%d), has(%d) = %v, %v; want true, false", id, id+1, s.has(id), s.has(id+1))
		}
		s.remove(id)
	}
	if s != (idSet{}) {
		t.Errorf("%+v is left of a set that never had two; want the zero value", s)
	}
}

func TestManyPacketIDsAreKeptApart(t *testing.T) {
	var s idSet
	for _, step := range []uint16{1, 2} { // then those that have gone come back
		for id := uint16(1); id < 5000; id += step {
			s.add(id)
		}
		for id := uint16(1); id < 5000; id += 2 {
			s.remove(id)
		}
		for id := uint16(1); id < 5000; id++ {
			if want := id%2 == 0; s.has(id) != want {
				t.Fatalf("has(%d) = %v; want %v", id, s.has(id), want)
			}
		}
	}
}
