package gateway

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
)

// versions are all that the gateway speaks.
var versions = []frames.Version{frames.V31, frames.V311, frames.V5}

// eachVersion runs test once for each version, in a bubble of its own: waits take no time there.
func eachVersion(t *testing.T, test func(t *testing.T, v frames.Version)) {
	t.Helper()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, v) })
		})
	}
}

// connectOf is the CONNECT of a client that the rig lets in.
func connectOf(v frames.Version, user string) frames.Connect {
	return frames.Connect{Version: v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}
}

// accepted is a CONNACK without properties.
func acceptedBy(v frames.Version) string {
	if v == frames.V5 {
		return "20 03 00 00 00"
	}
	return "20 02 00 00"
}

// patient puts the time limits off, for tests in which time passes.
func (c *conversation) patient() *conversation {
	tomorrow := time.Now().Add(24 * time.Hour)
	_ = c.ws.SetReadDeadline(tomorrow)
	if c.conn != nil {
		_ = c.conn.SetDeadline(tomorrow)
	}
	return c
}

// nothingUp proves that nothing of what was said before goes upstream: a PINGREQ is what comes next.
func (c *conversation) nothingUp() {
	c.t.Helper()
	c.say("c0 00")
	c.passes("c0 00")
	c.reply("d0 00")
	c.hears("d0 00")
}

// brokerEnds wants the end of the gateway's stream, and no packet before.
func (c *conversation) brokerEnds() {
	c.t.Helper()
	p, err := c.broker.ReadPacket()
	if err == nil {
		c.t.Fatalf("broker got %s (% x); want the end of the stream", p.Type(), p.Raw)
	}
	if !errors.Is(err, io.EOF) {
		c.t.Fatalf("broker read ended with %v; want %v", err, io.EOF)
	}
}

// follow changes the policy and waits until the sessions follow it.
func (r *rig) follow(rules string) {
	r.t.Helper()
	r.setRules(rules)
	synctest.Wait()
}

func ackHex(t frames.Type, id uint16, reason frames.ReasonCode, v frames.Version) string {
	return hex.EncodeToString(frames.Ack{Type: t, PacketID: id, Reason: reason}.Append(nil, v))
}

// publishOf is a PUBLISH of 5.0 with properties, in hex.
func publishOf(topic string, properties frames.Properties, payload string) string {
	p := frames.Publish{TopicName: []byte(topic), Properties: properties, Payload: []byte(payload)}
	return hex.EncodeToString(p.Append(nil, frames.V5))
}

// stamp is the injected User Property of alice.
func stamp(ps frames.Properties) frames.Properties {
	return ps.AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte("alice"))
}

func aliased(n uint32) frames.Properties {
	return frames.Properties(nil).AppendUint(frames.PropTopicAlias, n)
}

func pass(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) } // in a bubble: it takes none

// wantAudited wants audit records with all of words, in a bubble: records of a second are folded.
func (r *rig) wantAudited(words ...string) {
	r.t.Helper()
	pass(2)
	synctest.Wait()
	for _, w := range words {
		if text := r.audited.String(); !strings.Contains(text, w) {
			r.t.Errorf("audit = %s; want %s in it", text, w)
		}
	}
}
