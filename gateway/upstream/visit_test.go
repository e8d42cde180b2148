package upstream

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	gatewayplay "topicgate/gateway/internal/play"
)

// An MQTT Session is ended on every broker: taken over in 5.0 and left, or, where only older versions are spoken, replaced
// by one that ends with its connection.
func TestASessionIsEndedOnEveryBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "new", "old")
		ended := make(chan error, 1)
		go func() {
			ended <- p.EndSession(context.Background(), 5*time.Second, frames.Connect{ClientID: "alice:c", HasUsername: true, Username: "alice"})
		}()
		// connects answers what the n-th connection to a broker says, which must leave with a DISCONNECT if it is taken.
		connects := func(address string, n int, v frames.Version, clean bool, connack string) {
			t.Helper()
			for len(p.dialed(address)) <= n {
				time.Sleep(time.Millisecond)
			}
			conn := p.dialed(address)[n]
			reader := frames.NewReader(conn, v, 0)
			packet, err := reader.ReadPacket()
			if err != nil {
				t.Fatal(err)
			}
			connect, err := frames.ParseConnect(packet)
			if err != nil || connect.Version != v || connect.CleanStart != clean || connect.ClientID != "alice:c" || connect.Username != "alice" || connect.Will != nil {
				t.Errorf("%s got %+v, %v", address, connect, err)
			}
			if expiry, ok := connect.Properties.Uint(frames.PropSessionExpiryInterval); ok {
				t.Errorf("%s is asked to keep the Session for %d s", address, expiry)
			}
			_, _ = conn.Write([]byte(connack))
			if connack[len(connack)-1] == 0x84 || connack[3] == 1 {
				_ = conn.Close()
				return
			}
			if packet, err = reader.ReadPacket(); err != nil || packet.Type() != frames.TypeDisconnect {
				t.Errorf("%s got %v, %v; want DISCONNECT", address, packet.Type(), err)
			}
			_ = conn.Close()
		}
		connects("new:1883", 0, frames.V5, false, "\x20\x03\x01\x00\x00")
		connects("old:1883", 0, frames.V5, false, "\x20\x02\x00\x01") // as a broker of 3.1.1 says that it knows no 5.0
		connects("old:1883", 1, frames.V311, true, "\x20\x02\x00\x00")
		if err := <-ended; err != nil {
			t.Errorf("EndSession() = %v", err)
		}
	})
}

func TestAVisitLeavesTheSessionAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "a", "b")
		ended := make(chan error, 1)
		go func() {
			ended <- p.Visit(context.Background(), "b:1883", frames.Connect{ClientID: "alice:c",
				Properties: frames.Properties(nil).AppendUint(frames.PropSessionExpiryInterval, 600)})
		}()
		synctest.Wait()
		conn := p.dialed("b:1883")[0]
		reader := frames.NewReader(conn, frames.V5, 0)
		packet, err := reader.ReadPacket()
		if err != nil {
			t.Fatal(err)
		}
		connect, err := frames.ParseConnect(packet)
		if expiry, _ := connect.Properties.Uint(frames.PropSessionExpiryInterval); err != nil || expiry != 600 || connect.CleanStart {
			t.Errorf("the broker got %+v, %v; want the Session taken over, and kept for 600 s", connect, err)
		}
		_, _ = conn.Write([]byte("\x20\x03\x01\x00\x00"))
		if packet, err = reader.ReadPacket(); err != nil || packet.Type() != frames.TypeDisconnect {
			t.Errorf("the broker got %v, %v; want DISCONNECT", packet.Type(), err)
		}
		_ = conn.Close()
		if err := <-ended; err != nil {
			t.Errorf("Visit() = %v", err)
		}
		if len(p.dialed("a:1883")) > 0 {
			t.Error("another broker was visited")
		}
		if err := p.Visit(context.Background(), "c:1883", frames.Connect{}); err == nil {
			t.Error("a broker was visited that there is not")
		}
	})
}

// A broker that hangs up may have other reasons than 5.0: one that has taken a client of that, or of which nobody knows, is
// left alone, so that no delayed Will fires with its Session. One that has taken only older ones means the version.
func TestAVisitTakesAHangUpForAVersionOnlyWhereItMayBe(t *testing.T) {
	for _, tt := range []struct {
		name     string
		taken    []frames.Version
		versions []frames.Version // of the visits
		ok       bool
	}{
		{"unknown", nil, []frames.Version{frames.V5}, false},
		{"5.0", []frames.Version{frames.V311, frames.V5}, []frames.Version{frames.V5}, false},
		{"older", []frames.Version{frames.V31}, []frames.Version{frames.V5, frames.V311}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := &gatewayplay.Visited{}
			b := New(Options{URLs: []*url.URL{{Scheme: "tcp", Host: "a"}}, Dial: broker.Dial, Observe: func(string) {}})
			for _, v := range tt.taken {
				d := b.Dial("c", netip.AddrPort{}, nil)
				conn, _, err := d.Connect(t.Context(), (&frames.Connect{Version: v, CleanStart: true, ClientID: "c"}).Append(nil, v), v, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			broker.Answers = func(_ int, connect frames.Connect) []byte {
				if connect.Version == frames.V5 {
					return nil
				}
				return gatewayplay.Accepted(connect.Version)
			}
			err := b.EndSession(t.Context(), 5*time.Second, frames.Connect{ClientID: "alice:c"})
			var versions []frames.Version
			for _, c := range broker.Connects()[len(tt.taken):] {
				versions = append(versions, c.Version)
			}
			if (err == nil) != tt.ok || !slices.Equal(versions, tt.versions) {
				t.Errorf("visited with %v, %v; want %v, ok: %t", versions, err, tt.versions, tt.ok)
			}
		})
	}
}

// A broker that was not to be reached just now is not waited for again and again, and keeps no other from being visited.
func TestABrokerThatRestsIsNotVisited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "hangs", "works")
		end := func() error {
			ended := make(chan error, 1)
			go func() {
				ended <- p.EndSession(t.Context(), 5*time.Second, frames.Connect{ClientID: "alice:c"})
			}()
			synctest.Wait()
			conns := p.dialed("works:1883")
			conn := conns[len(conns)-1]
			reader := frames.NewReader(conn, frames.V5, 0)
			_, _ = reader.ReadPacket()
			_, _ = conn.Write(gatewayplay.Accepted(frames.V5))
			_, _ = reader.ReadPacket()
			_ = conn.Close()
			return <-ended
		}
		for n := range 3 {
			if err := end(); err == nil {
				t.Error("ended on a broker that hangs")
			}
			if hung, worked := len(p.dialed("hangs:1883")), len(p.dialed("works:1883")); hung != 1 || worked != n+1 {
				t.Errorf("%d connections to the broker that hangs, %d to the other; want 1 and %d", hung, worked, n+1)
			}
		}
		time.Sleep(Rest)
		_ = end()
		if hung := len(p.dialed("hangs:1883")); hung != 2 {
			t.Errorf("%d connections to the broker that hangs; want one more when it has rested", hung)
		}
	})
}
