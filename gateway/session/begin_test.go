package session

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"topicgate/gateway/internal/play"
)

func TestThePolicyMayChangeWhileSessionsBegin(t *testing.T) {
	// The store calls as soon as a Grant is open, which is before the session has it.
	New(newRig(t, nil).server.Host, netip.AddrPort{}, nil, nil).policyChanged()

	r := newRig(t, nil)
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := r.Policy.Reload(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for i := range 30 {
		connect := play.ConnectOf(play.Versions[i%len(play.Versions)], "alice")
		connect.ClientID = fmt.Sprint("c", i)
		c := r.ConnectWith(connect, play.AcceptedBy(connect.Version))
		c.NothingUp()
		c.Say("e0 00")
		c.Passes("e0 00")
		c.BrokerEnds()
	}
	close(stop)
	changing.Wait()
}
