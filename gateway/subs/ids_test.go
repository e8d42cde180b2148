package subs

import (
	"testing"
	"testing/synctest"

	"topicgate/frames"
)

func TestOwnPacketIDsAreFree(t *testing.T) {
	var p IDs
	for _, id := range []uint16{65535, 65533} {
		if !p.TakePublish(id, 1) {
			t.Fatal("take = false")
		}
	}
	for _, want := range []uint16{65534, 65532} {
		if id, ok := p.TakeOwn(); !ok || id != want || !p.IsOwn(id) {
			t.Errorf("takeOwn() = %d, %v; want %d", id, ok, want)
		}
	}
	p.Release(65535)
	if id, _ := p.TakeOwn(); id != 65535 {
		t.Errorf("takeOwn() = %d; want 65535, which was released", id)
	}
	if p.ReleaseOwn(65533) || !p.ReleaseOwn(65534) || p.ReleaseOwn(65534) {
		t.Error("releaseOwn took one that is the client's, or one twice")
	}
}

func TestAllPacketIDsCanBeInUse(t *testing.T) {
	var p IDs
	for id := uint16(1); id != 0; id++ {
		p.Take(id)
	}
	if id, ok := p.TakeOwn(); ok {
		t.Errorf("takeOwn() = %d; want none", id)
	}
	p.Release(1)
	if id, ok := p.TakeOwn(); !ok || id != 1 {
		t.Errorf("takeOwn() = %d, %v; want 1", id, ok)
	}
}

func TestWhoTakesAnOwnPacketIDWaitsForItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p IDs
		flushed := 0
		p.Blocked = func() { flushed++ }
		id, _ := p.TakeOwn()
		took := make(chan bool, 1)
		go func() { took <- p.Take(id) }()
		synctest.Wait()
		if len(took) > 0 || flushed != 1 {
			t.Fatalf("took an identifier in use, or what it waits for was sent %d times; want once", flushed)
		}
		p.ReleaseOwn(id)
		if !<-took {
			t.Error("take = false; want true")
		}
		p.Release(id)
		id, _ = p.TakeOwn()
		go func() { took <- p.Take(id) }()
		synctest.Wait()
		p.Close()
		if <-took {
			t.Error("take = true after close; want false")
		}
	})
}

func TestPublishingKnowsTheQoS(t *testing.T) {
	var p IDs
	p.TakePublish(1, 1)
	p.TakePublish(2, 2)
	for _, tt := range []struct {
		id   uint16
		qos  frames.QoS
		want bool
	}{{1, 1, true}, {1, 2, false}, {2, 2, true}, {3, 1, false}} {
		if got := p.Publishing(tt.id, tt.qos); got != tt.want {
			t.Errorf("publishing(%d, %d) = %v; want %v", tt.id, tt.qos, got, tt.want)
		}
	}
	p.Release(2)
	if p.Publishing(2, 2) {
		t.Error("publishing(2, 2) = true after release")
	}
}

func TestFewPacketIDsNeedNoPages(t *testing.T) {
	var s IDSet
	for id := uint16(1); id < 1000; id++ {
		s.Add(id)
		s.Add(id) // again: it has its place
		if !s.Has(id) || s.Has(id+1) {
			t.Fatalf("has(%d), has(%d) = %v, %v; want true, false", id, id+1, s.Has(id), s.Has(id+1))
		}
		s.Remove(id)
	}
	if s != (IDSet{}) {
		t.Errorf("%+v is left of a set that never had two; want the zero value", s)
	}
}

func TestManyPacketIDsAreKeptApart(t *testing.T) {
	var s IDSet
	for _, step := range []uint16{1, 2} { // then those that have gone come back
		for id := uint16(1); id < 5000; id += step {
			s.Add(id)
		}
		for id := uint16(1); id < 5000; id += 2 {
			s.Remove(id)
		}
		for id := uint16(1); id < 5000; id++ {
			if want := id%2 == 0; s.Has(id) != want {
				t.Fatalf("has(%d) = %v; want %v", id, s.Has(id), want)
			}
		}
	}
}
