package session

import (
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// Of a Session without a record nobody knows under which identifiers the broker holds what: the client hears of none that
// it has not given itself.
func TestIdentifiersThatNobodyKnowsAreNotHeard(t *testing.T) {
	r := newRooms(t)
	c := r.Dial(frames.V5).Opens(play.SleeperConnect(frames.V5))
	c.Accept()
	c.FromGateway(frames.TypeConnect)
	c.Reply("20 03 01 00 00")
	c.Expect(frames.TypeConnack)
	c.Reply(messageHex(c.V, "room/one/x", 268435455))
	c.Hears(messageHex(c.V, "room/one/x"))
}

// Until the broker has handed an MQTT Session over, another connection goes on changing it: the record that counts is the
// one after that.
func TestTheRecordIsReadWhenTheSessionIsOurs(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	second := r.Dial(c.V).Opens(play.SleeperConnect(c.V))
	second.Accept()
	second.FromGateway(frames.TypeConnect) // which the broker is yet to act on
	c.Asks(2, 0, play.At(1, "room/two/x"))
	c.Grants(c.Asked("room/two/x").PacketID, 1)
	c.Granted(2, 1)
	r.Until("it is stored", func() bool { x := r.record(s); return !x.Open && len(x.Subscriptions) == 2 })
	_ = c.Conn.Close() // the broker: session taken over
	second.Reply("20 02 01 00")
	second.Hears("20 02 01 00")
	second.NothingUp() // begun
	r.SetRules("pattern read room/one/#\n")
	second.Left("room/two/#", "room/two/x")
}
