package upstream

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
)

// Of brokers that hang up on a CONNECT of 5.0 a client is told that they know no 5.0 if all of them have taken clients of
// other versions and none of that. Else it may be an outage.
func TestAHangUpIsTakenForAMissingVersionOnlyWhereItMayBe(t *testing.T) {
	older := func(b *broker) { b.tookOlder.Store(true) }
	for _, c := range []struct {
		name    string
		a, b    func(b *broker)
		v       frames.Version
		answer  string // instead of the end of the connection
		version bool
	}{
		{"both took others", older, older, frames.V5, "", true},
		{"one took nobody", older, func(*broker) {}, frames.V5, "", false},
		{"one took a 5.0", older, func(b *broker) { older(b); b.took5.Store(true) }, frames.V5, "", false},
		{"another version", older, older, frames.V311, "", false},
		{"no hang-up, but nonsense", older, older, frames.V5, "\xd0\x00", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, "a", "b")
				c.a(p.all[0])
				c.b(p.all[1])
				ended := make(chan error, 1)
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					d := p.Dial(p.preferring("a:1883", 0), netip.AddrPort{}, nil)
					_, _, err := d.Connect(ctx, (&frames.Connect{Version: c.v, CleanStart: true, ClientID: "x"}).Append(nil, c.v), c.v, 1<<20)
					ended <- err
				}()
				for _, address := range []string{"a:1883", "b:1883"} {
					synctest.Wait()
					broker := p.dialed(address)[0]
					if _, err := frames.NewReader(broker, c.v, 0).ReadPacket(); err != nil {
						t.Fatal(err)
					}
					_, _ = broker.Write([]byte(c.answer))
					_ = broker.Close()
				}
				if err := <-ended; err == nil || errors.Is(err, ErrVersion) != c.version {
					t.Errorf("Connect() = %v; want an error, that it knows no 5.0: %t", err, c.version)
				}
			})
		})
	}
}
