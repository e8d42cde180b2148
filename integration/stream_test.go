package integration

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"topicgate/frames"

	"github.com/gorilla/websocket"
)

func TestALongConversationArrivesWholeAndInOrder(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			alice := s.connect(t, v, "a", s.issuer.token(t, "alice"))
			bob := s.connect(t, v, "b", s.issuer.token(t, "bob"))
			topic := "room/" + v.String()
			bob.subscribed(topic)
			const n = 1500
			random := rand.New(rand.NewChaCha8([32]byte{})) // the same sizes in every run
			payloads := make([]string, n)
			for i := range payloads {
				size := random.IntN(300)
				if i%50 == 0 {
					size = random.IntN(400_000)
				}
				bytes := make([]byte, size)
				for j := range bytes {
					bytes[j] = byte(random.Uint32())
				}
				payloads[i] = string(bytes)
			}
			sent := make(chan error, 1)
			go func() {
				for _, payload := range payloads {
					if err := alice.trySend(encode(message(topic, payload, 0), v)); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for i, payload := range payloads {
				m := bob.receive()
				if sha256.Sum256(m.Payload) != sha256.Sum256([]byte(payload)) {
					t.Fatalf("message %d has %d other bytes; want its %d", i, len(m.Payload), len(payload))
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			// Twenty at once is what mosquitto takes; their acknowledgements come in order [MQTT-4.6.0-2].
			for i := range 20 {
				m := message(topic, fmt.Sprint(i), 1)
				m.PacketID = uint16(i + 1)
				alice.send(encode(m, v))
			}
			for i := range 20 {
				alice.ack(frames.TypePuback, uint16(i+1))
				bob.receives(topic, fmt.Sprint(i))
			}
			alice.ping()
			bob.ping()
		})
	}
}

func TestTheWebSocketIsAnOrdinaryOne(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	token := s.issuer.token(t, "alice")
	t.Run("fragments", func(t *testing.T) {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, WriteBufferSize: 16} // longer messages go in frames of 16 bytes
		ws, _, err := dialer.Dial(s.url("/mqtt"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		w := &wire{t: t, name: "fragments", ws: ws, conn: ws.NetConn()}
		if connack := w.handshake(newConnect(frames.V5, "f", token)); connack.Reason != frames.Success {
			t.Errorf("CONNACK %#x; want 0", uint8(connack.Reason))
		}
		w.ping()
	})
	t.Run("pings and pongs", func(t *testing.T) {
		w := s.connect(t, frames.V311, "p", token)
		pong := make(chan string, 1)
		w.ws.SetPongHandler(func(data string) error { pong <- data; return nil })
		if err := w.ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		w.ping() // reads on the way
		w.ping()
		if data := await(t, "a Pong", pong); data != "are you there" {
			t.Errorf("Pong %q; want what the Ping said", data)
		}
	})
	t.Run("empty messages", func(t *testing.T) {
		w := s.connect(t, frames.V311, "e", token)
		w.send()
		w.send()
		w.ping()
	})
	t.Run("the client closes", func(t *testing.T) {
		w := s.connect(t, frames.V311, "c", token)
		bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
		if err := w.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		w.expectClosed()
	})
	t.Run("no compression", func(t *testing.T) {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, EnableCompression: true}
		ws, response, err := dialer.Dial(s.url("/mqtt"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if got := response.Header.Get("Sec-Websocket-Extensions"); got != "" {
			t.Errorf("Sec-WebSocket-Extensions %q; want none", got)
		}
	})
}

func TestOddKeysInRedisNeverOpenAnything(t *testing.T) {
	t.Parallel()
	s := newStack(t, roomRules)
	set := "topicgate:user:alice:rooms"
	s.redis.do(t, "SADD", set, "lobby")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.settled("chat/room/lobby/x", true)
	s.redis.do(t, "SET", set, "lobby") // a string where a set is expected
	w.settled("chat/room/lobby/x", false)
	s.connect(t, frames.V5, "other", s.issuer.token(t, "bob")).ping()
	s.redis.do(t, "DEL", set)
	s.redis.do(t, "SADD", set, "lobby")
	w.settled("chat/room/lobby/x", true)
	s.redis.do(t, "EVAL", "for i = 1, 50000 do redis.call('SADD', KEYS[1], 'room' .. i) end", "1", set)
	w.settled("chat/room/room50000/x", true)
	w.settled("chat/room/room50001/x", false)
	if code := s.connect(t, frames.V5, "many", s.issuer.token(t, "alice")).publish(message(fmt.Sprint("chat/room/room", 49999, "/x"), "x", 1)); code >= 0x80 {
		t.Errorf("PUBLISH to one of 50,000 rooms answered %#x; want it allowed", uint8(code))
	}
}

func TestUnsubscribingFromWhatWasRefusedIsAnswered(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read open/#\n")
	for _, v := range versions {
		w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
		w.subscribe("secret/#", "open/#")
		u := frames.Unsubscribe{PacketID: 99, TopicFilters: []string{"secret/#", "open/#"}}
		w.send(u.Append(nil, v))
		a, err := frames.ParseUnsuback(w.expect(frames.TypeUnsuback), v)
		if err != nil || a.PacketID != 99 || v == frames.V5 && len(a.Reasons) != 2 {
			t.Errorf("%s: UNSUBACK %+v, %v; want identifier 99 and, in 5.0, two codes", v, a, err)
		}
		w.ping()
	}
}
