package gateway

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"topicgate/frames"
)

func TestThePolicyMayChangeWhileSessionsBegin(t *testing.T) {
	// The store calls as soon as a Grant is open, which is before the session has it.
	newSession(newRig(t, nil).server, netip.AddrPort{}, nil, nil).policyChanged()

	r := newRig(t, nil)
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := r.policy.Reload(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for i := range 30 {
		connect := connectOf(versions[i%len(versions)], "alice")
		connect.ClientID = fmt.Sprint("c", i)
		c := r.connectWith(connect, acceptedBy(connect.Version))
		c.nothingUp()
		c.say("e0 00")
		c.passes("e0 00")
		c.brokerEnds()
	}
	close(stop)
	changing.Wait()
}

func TestADrainDuringTheUpgradeIsNotForgotten(t *testing.T) {
	for range 20 {
		r := newRig(t, nil)
		c := r.dial(frames.V311)
		go r.server.Close() // whether the session has begun to read or not
		c.closes(1012)
	}
}
