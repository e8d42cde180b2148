package play

import (
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
)

// publish is a PUBLISH of the given version in hex.
func PublishHex(v frames.Version, topic string, qos frames.QoS, id uint16, payload string) string {
	p := frames.Publish{QoS: qos, TopicName: []byte(topic), PacketID: id, Payload: []byte(payload)}
	return hex.EncodeToString(p.Append(nil, v))
}

// StampedHex is the same with the user's name on it.
func StampedHex(topic string, qos frames.QoS, id uint16, payload, user string) string {
	p := frames.Publish{QoS: qos, TopicName: []byte(topic), PacketID: id, Payload: []byte(payload)}
	p.Properties = p.Properties.AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte(user))
	return hex.EncodeToString(p.Append(nil, frames.V5))
}

func Unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ConnectOf is the CONNECT of a client that the rig lets in.
func ConnectOf(v frames.Version, user string) frames.Connect {
	return frames.Connect{Version: v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}
}

// accepted is a CONNACK without properties.
func AcceptedBy(v frames.Version) string {
	if v == frames.V5 {
		return "20 03 00 00 00"
	}
	return "20 02 00 00"
}

func AckHex(t frames.Type, id uint16, reason frames.ReasonCode, v frames.Version) string {
	return hex.EncodeToString(frames.Ack{Type: t, PacketID: id, Reason: reason}.Append(nil, v))
}

// PublishOf is a PUBLISH of 5.0 with properties, in hex.
func PublishOf(topic string, properties frames.Properties, payload string) string {
	p := frames.Publish{TopicName: []byte(topic), Properties: properties, Payload: []byte(payload)}
	return hex.EncodeToString(p.Append(nil, frames.V5))
}

// Stamp is the injected User Property of alice.
func Stamp(ps frames.Properties) frames.Properties {
	return ps.AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte("alice"))
}

func Aliased(n uint32) frames.Properties {
	return frames.Properties(nil).AppendUint(frames.PropTopicAlias, n)
}

// Pass lets time pass in a bubble, where it takes none.
func Pass(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

// EachVersion runs test once for each version, in a bubble of its own: waits take no time there.
func EachVersion(t *testing.T, test func(t *testing.T, v frames.Version)) {
	t.Helper()
	for _, v := range Versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, v) })
		})
	}
}

// Versions are all that the gateway speaks.
var Versions = []frames.Version{frames.V31, frames.V311, frames.V5}

func SleeperConnect(v frames.Version) frames.Connect {
	connect := frames.Connect{Version: v, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte("alice")}
	if v == frames.V5 {
		connect.Properties = connect.Properties.AppendUint(frames.PropSessionExpiryInterval, 3600)
	}
	return connect
}
