package gateway

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
)

func TestThePolicyMayChangeWhileSessionsBegin(t *testing.T) {
	// The store calls as soon as a Grant is open, which is before the session has it.
	newSession(newRig(t, nil).server.Host, netip.AddrPort{}, nil, nil).policyChanged()

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
