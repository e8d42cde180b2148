package integration

import (
	"bytes"
	"testing"

	"topicgate/frames"
)

// scripted is a session whose broker is a double.
type scripted struct {
	g      *gateway
	double *double
	issuer *issuer
}

func newScripted(t testing.TB, rules string, more ...settings) *scripted {
	t.Helper()
	s := prepareStack(t, rules)
	d := newDouble(t)
	all := append([]settings{{"UPSTREAM_URLS": "tcp://" + d.address, "SUBSCRIBE_MODE": "strict"}}, more...)
	return &scripted{g: startGateway(t, s.settings(all...)), double: d, issuer: s.issuer}
}

// session connects alice and returns her side and the broker's.
func (s *scripted) session(t testing.TB, v frames.Version, id string) (down, up *wire) {
	t.Helper()
	down = s.g.dial(t, id, dialOptions{})
	down.setVersion(v)
	down.send(newConnect(v, id, s.issuer.token(t, "alice")).Append(nil, v))
	up, _ = s.double.acceptConnect(t, connackOK(v))
	if connack := down.connack(); connack.Reason != frames.Success {
		t.Fatalf("CONNACK %#x; want 0", uint8(connack.Reason))
	}
	return down, up
}

// answersPing goes through a PINGREQ by the way of the broker or, if the gateway answers itself, without.
func answersPing(down, up *wire) {
	down.t.Helper()
	down.send(frames.AppendPingreq(nil))
	up.expect(frames.TypePingreq)
	up.send(frames.AppendPingresp(nil))
	down.expect(frames.TypePingresp)
}

func TestAnIllegalReasonCodeOfABrokerBreaksNoPublisher(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	down, up := s.session(t, frames.V5, "c")
	m := message("room", "hello", 1)
	m.PacketID = 0x2ae7
	down.send(m.Append(nil, frames.V5))
	up.expect(frames.TypePublish)
	up.sendHex("40 0b 2a e7 01 07 26 00 01 61 00 01 62") // seen from mochi-mqtt 2.7.9: reason 0x01 and the publisher's property
	if code := down.ack(frames.TypePuback, 0x2ae7); code != frames.Success {
		t.Errorf("PUBACK %#x; want 0, as any code under 0x80 means", uint8(code))
	}
	answersPing(down, up)
}

// brokenBytes are what no broker may send, as the answer to a SUBSCRIBE with identifier 1 and two filters.
var brokenBytes = []struct {
	name, v311, v5 string // empty: legal or impossible there
}{
	{"a PUBLISH with QoS 3", "36 07 00 01 61 00 01 78 79", "36 07 00 01 61 00 01 00 79"},
	{"a reserved packet type", "00 00", "00 00"},
	{"a Remaining Length of five bytes", "30 ff ff ff ff 01", "30 ff ff ff ff 01"},
	{"a CONNECT", "10 0c 00 04 4d 51 54 54 04 02 00 3c 00 00", "10 0d 00 04 4d 51 54 54 05 02 00 3c 00 00 00"},
	{"a second CONNACK", "20 02 00 00", "20 03 00 00 00"},
	{"a PUBACK without identifier", "40 00", "40 00"},
	{"a PUBLISH with an alias that nobody bound", "", "30 06 00 00 03 23 00 01"},
	{"an AUTH that nobody asked for", "", "f0 00"},
}

func TestABrokerThatBreaksTheSpecificationEndsThatSessionAlone(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	otherDown, otherUp := s.session(t, frames.V5, "other")
	for _, broken := range brokenBytes {
		for v, bytes := range map[frames.Version]string{frames.V311: broken.v311, frames.V5: broken.v5} {
			if bytes == "" {
				continue
			}
			t.Run(v.String()+" "+broken.name, func(t *testing.T) {
				down, up := s.session(t, v, "c")
				subscribe := frames.Subscribe{PacketID: 1, Filters: []frames.Subscription{{TopicFilter: "a"}, {TopicFilter: "b"}}}
				down.send(subscribe.Append(nil, v))
				up.expect(frames.TypeSubscribe)
				up.sendHex(bytes)
				down.brokerLost()
			})
			answersPing(otherDown, otherUp)
		}
	}
}

// A message that is none ends no session: brokers that translate other protocols send such to all readers.
func TestAFaultyMessageOfABrokerEndsNoSession(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	for _, faulty := range []struct {
		name string
		v    frames.Version
		up   string
	}{
		{"a wildcard in a Topic Name", frames.V311, "30 03 00 01 23"},
		{"a wildcard in a Topic Name of 5.0", frames.V5, "30 04 00 01 23 00"},
		{"bad UTF-8", frames.V311, "30 03 00 01 ff"},
		{"the alias 0", frames.V5, "30 07 00 01 61 03 23 00 00"},
	} {
		t.Run(faulty.name, func(t *testing.T) {
			down, up := s.session(t, faulty.v, "c")
			next := encode(message("room", "hello", 0), faulty.v)
			up.sendHex(faulty.up)
			up.send(next)
			if m := down.expect(frames.TypePublish); !bytes.Equal(m.Raw, next) {
				t.Errorf("client got % x; want the message after it", m.Raw)
			}
			answersPing(down, up)
		})
	}
}

// What a broker gets wrong without being ambiguous is put right, and the session goes on.
func TestWhatABrokerGetsWrongIsPutRightWhereItsMeaningIsPlain(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	for _, test := range []struct {
		name string
		v    frames.Version
		up   string
		down string
	}{
		{"too few codes in a SUBACK: what was not answered was not granted", frames.V311, "90 03 00 01 01", "90 04 00 01 01 80"},
		{"too few codes in a SUBACK of 5.0", frames.V5, "90 04 00 01 00 01", "90 05 00 01 00 01 80"},
		{"too many codes in a SUBACK", frames.V311, "90 05 00 01 01 00 02", "90 04 00 01 01 00"},
		{"too many codes in a SUBACK of 5.0", frames.V5, "90 06 00 01 00 01 00 02", "90 05 00 01 00 01 00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			down, up := s.session(t, test.v, "c")
			subscribe := frames.Subscribe{PacketID: 1, Filters: []frames.Subscription{{TopicFilter: "a", QoS: 1}, {TopicFilter: "b", QoS: 1}}}
			down.send(subscribe.Append(nil, test.v))
			up.expect(frames.TypeSubscribe)
			up.sendHex(test.up)
			down.expectHex(test.down)
			answersPing(down, up)
		})
	}
	t.Run("an alias that nobody allowed", func(t *testing.T) {
		down, up := s.session(t, frames.V5, "c")
		up.sendHex("30 08 00 01 61 03 23 00 01 78", "30 07 00 00 03 23 00 01 79") // "a" by alias 1, then alias 1 alone
		down.expectHex("30 05 00 01 61 00 78")
		down.expectHex("30 05 00 01 61 00 79")
		answersPing(down, up)
	})
}

func TestHalfAPacketAndSilenceHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	otherDown, otherUp := s.session(t, frames.V311, "other")
	for _, v := range versions {
		down, up := s.session(t, v, "c")
		whole := encode(message("room", "hello", 0), v)
		up.send(whole, whole[:5])
		down.receives("room", "hello")
		answersPing(otherDown, otherUp)
		up.send(whole[5:]) // the rest after all
		down.receives("room", "hello")
		up.send(whole[:5])
		_ = up.conn.Close()
		down.brokerLost()
		answersPing(otherDown, otherUp)
	}
}

func TestABrokersDisconnectIsPassedOn(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	for _, code := range []frames.ReasonCode{frames.SessionTakenOver, frames.AdministrativeAction, frames.ServerBusy, frames.QuotaExceeded} {
		down, up := s.session(t, frames.V5, "c")
		up.send(frames.Disconnect{Reason: code}.Append(nil, frames.V5))
		_ = up.conn.Close()
		down.expectDisconnect(code)
		down.expectClosed()
	}
}

func TestAcknowledgementsThatNobodyWaitsForHarmNobody(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	for _, v := range versions {
		otherDown, otherUp := s.session(t, v, "other")
		down, up := s.session(t, v, "c")
		up.sendHex("40 02 12 34 50 02 12 35 70 02 12 36") // PUBACK, PUBREC, PUBCOMP; in 5.0 with reason 0x00 left out
		up.sendHex("62 02 12 37")                         // PUBREL
		if v == frames.V5 {
			up.sendHex("90 04 12 38 00 00 b0 04 12 39 00 00") // SUBACK, UNSUBACK
		} else {
			up.sendHex("90 03 12 38 00 b0 02 12 39")
		}
		_ = up.conn.Close()
		for { // whatever of that the client is shown, it is whole, and the end is an orderly one
			if _, err := down.next(); err != nil {
				break
			}
		}
		answersPing(otherDown, otherUp)
	}
}

func TestAcknowledgedIsWhatTheBrokerAcknowledged(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy)
	for _, v := range versions {
		down, up := s.session(t, v, "c")
		m := message("room", "hello", 1)
		m.PacketID = 5
		down.send(m.Append(nil, v))
		up.expect(frames.TypePublish)
		answersPing(down, up) // no PUBACK came before
		up.sendHex("40 02 00 05")
		down.expectHex("40 02 00 05")
		m.QoS, m.PacketID = 2, 6
		down.send(m.Append(nil, v))
		up.expect(frames.TypePublish)
		answersPing(down, up)
		up.sendHex("50 02 00 06")
		down.expectHex("50 02 00 06")
		down.sendHex("62 02 00 06")
		up.expectHex("62 02 00 06")
		up.sendHex("70 02 00 06")
		down.expectHex("70 02 00 06")
	}
}
