package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"topicgate/frames"
)

// sleeper is a client whose MQTT Session outlives its connection, in either version.
func sleeper(c *frames.Connect) {
	c.CleanStart = false
	if c.Version == frames.V5 {
		c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, 600)
	}
}

// recorded waits until the record of alice's client says that the broker has answered everything, and holds these words.
func (s *stack) recorded(t testing.TB, words ...string) {
	t.Helper()
	eventually(t, "the record holds "+strings.Join(words, ", "), func() bool {
		record := s.redis.do(t, "GET", "topicgate:session:alice:phone")
		for _, word := range words {
			if !strings.Contains(record, word) {
				return false
			}
		}
		return !strings.Contains(record, `"open":true`)
	})
}

// A broker that is killed after an older save has lost the newest subscriptions of those who sleep: they are asked for
// again when their clients come back.
func TestABrokerThatComesBackWithAnOlderState(t *testing.T) {
	t.Parallel()
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := prepareStackBefore(t, startMosquitto(t, "persistence true", "persistence_location "+dir+"/", "autosave_interval 0"), "pattern readwrite chat/{rooms}/#\n")
			s.gateway = startGateway(t, s.settings())
			s.redis.do(t, "SADD", roomsOf("alice"), "one")
			token := s.issuer.token(t, "alice")
			w := s.connect(t, v, "phone", token, sleeper)
			w.subscribed("chat/#")
			s.recorded(t, "chat/one/#")
			s.broker.signal(syscall.SIGUSR1)
			eventually(t, "the broker has saved", func() bool {
				files, err := os.ReadDir(dir)
				if err != nil || len(files) == 0 {
					return false
				}
				data, err := os.ReadFile(filepath.Join(dir, "mosquitto.db"))
				return err == nil && strings.Contains(string(data), "chat/one/#")
			})
			s.redis.do(t, "SADD", roomsOf("alice"), "two")
			s.recorded(t, "chat/two/#")
			_ = w.conn.Close()
			other := s.connect(t, v, "other", s.issuer.token(t, "bob"))
			s.broker.kill()
			if v == frames.V5 {
				other.expect(frames.TypeDisconnect)
			}
			other.expectClosed()
			s.broker.restart(t)
			back, connack := s.connecting(t, v, "phone", token, sleeper)
			if !connack.SessionPresent {
				t.Fatal("the broker has no Session: it has saved nothing")
			}
			back.ping() // what is asked for has been sent before
			hand := s.broker.direct(t, frames.V311, "hand")
			for _, room := range []string{"one", "two"} {
				hand.publish(message("chat/"+room+"/x", "hello", 1))
				back.receives("chat/"+room+"/x", "hello")
			}
		})
	}
}

// A Redis that comes back with an older save has an older record, which does not say so itself: the client is told to ask
// anew, and what is queued comes.
func TestARedisThatComesBackWithAnOlderState(t *testing.T) {
	t.Parallel()
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, openPolicy)
			token := s.issuer.token(t, "alice")
			w := s.connect(t, v, "phone", token, sleeper)
			w.subscribed("old")
			s.recorded(t, "old")
			s.redis.do(t, "SAVE")
			w.subscribed("room")
			s.recorded(t, "room")
			_ = w.conn.Close()
			eventually(t, "it has gone", func() bool { return s.metric(t, "topicgate_sessions") == 0 })
			s.broker.direct(t, frames.V311, "hand").publish(message("room", "while away", 1))
			s.redis.kill()
			s.redis.revive(t)
			if record := s.redis.do(t, "GET", "topicgate:session:alice:phone"); !strings.Contains(record, `"old"`) || strings.Contains(record, `"room"`) {
				t.Fatalf("Redis has %q; want the older record", record)
			}
			eventually(t, "the gateway has Redis again", func() bool { return s.status("/readyz") == 200 })
			back, connack := s.connecting(t, v, "phone", token, sleeper)
			if connack.SessionPresent {
				t.Error("the client is told that its Session is present; want it to ask anew")
			}
			back.receives("room", "while away")
		})
	}
}
