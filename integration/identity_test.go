package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// forged are User Properties with which a client pretends to be another, and one that is its own business.
func forged(ps frames.Properties) frames.Properties {
	for _, pair := range [][2]string{{"topicgate-user", "mallory"}, {"color", "red"}, {"TopicGate-User", "bob"}, {"topicgate-user", "carol"}, {"color", "red"}} {
		ps = ps.AppendPair(frames.PropUserProperty, []byte(pair[0]), []byte(pair[1]))
	}
	return ps
}

// stamped wants the properties of forged with the verified name in place of the pretended ones.
func stamped(t testing.TB, got []string, name, username string) {
	t.Helper()
	slices.Sort(got)
	want := []string{"color=red", "color=red", name + "=" + username}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("User Properties %q; want %q", got, want)
	}
}

func TestTheVerifiedNameIsStampedOnEveryMessage(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("room/#")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	for qos := range frames.QoS(3) {
		m := message("room/1", fmt.Sprint(qos), qos)
		m.Properties = forged(nil)
		w.publish(m)
		stamped(t, userProperties(eye.receives("room/1", fmt.Sprint(qos)).Properties), "topicgate-user", "alice")
	}
	// With a Topic Alias, when it is bound and when it is used alone.
	for i, topic := range []string{"room/2", ""} {
		m := message(topic, fmt.Sprint("alias ", i), 1)
		m.Properties = forged(frames.Properties(nil).AppendUint(frames.PropTopicAlias, 1))
		w.publish(m)
		stamped(t, userProperties(eye.receives("room/2", fmt.Sprint("alias ", i)).Properties), "topicgate-user", "alice")
	}
}

func TestTheVerifiedNameIsStampedOnAWill(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("wills/#")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"), func(c *frames.Connect) {
		c.Will = &frames.Will{TopicName: "wills/alice", Payload: []byte("gone"), QoS: 1, Properties: forged(nil)}
	})
	_ = w.conn.Close()
	stamped(t, userProperties(eye.receives("wills/alice", "gone").Properties), "topicgate-user", "alice")
}

func TestTheOperatorNamesTheUserProperty(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("room")
	for name, want := range map[string][]string{"from": {"from=alice"}, "": nil} {
		g := startGateway(t, s.settings(settings{"USER_PROPERTY": name}))
		g.connect(t, frames.V5, "c", s.issuer.token(t, "alice")).publish(message("room", "hello", 1))
		if got := userProperties(eye.receives("room", "hello").Properties); !slices.Equal(got, want) {
			t.Errorf("TOPICGATE_USER_PROPERTY=%q: User Properties %q; want %q", name, got, want)
		}
	}
}

func TestTheBrokerSeesTheUserAndNeverTheToken(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	for _, source := range tokenSources {
		t.Run(source.name, func(t *testing.T) {
			d := newDouble(t)
			g := startGateway(t, s.settings(settings{"TOKEN_SOURCES": source.setting, "UPSTREAM_URLS": "tcp://" + d.address}))
			for _, v := range source.versions {
				token := s.issuer.token(t, "alice")
				o := dialOptions{header: map[string][]string{"Origin": {"http://" + g.address}}}
				c := newConnect(v, "tab-1", "")
				source.put(token, &o, c)
				w := g.dial(t, "alice", o)
				w.setVersion(v)
				w.send(c.Append(nil, v))
				up := d.accept(t)
				packet := up.expect(frames.TypeConnect)
				got, err := frames.ParseConnect(packet)
				if err != nil || got.Version != v || got.Username != "alice" || got.HasPassword || got.ClientID != "alice:tab-1" {
					t.Errorf("CONNECT upstream in %s: %+v, %v; want alice, no password, alice:tab-1", v, got, err)
				}
				for part := range strings.SplitSeq(token, ".") {
					if strings.Contains(string(packet.Raw), part) {
						t.Errorf("CONNECT upstream in %s holds a part of the token", v)
					}
				}
				if _, has := got.Properties.Bytes(frames.PropAuthenticationMethod); has {
					t.Errorf("CONNECT upstream has an Authentication Method; want none")
				}
				up.setVersion(v)
				up.sendHex(connackOK(v))
				w.connack()
			}
		})
	}
}

func TestTheOperatorChoosesWhatTheBrokerSees(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	d := newDouble(t)
	g := startGateway(t, s.settings(settings{
		"UPSTREAM_URLS": "tcp://" + d.address, "UPSTREAM_USERNAME": "gateway", "UPSTREAM_PASSWORD": "open sesame", "CLIENT_ID": "tg/{username}/{client_id}",
	}))
	w := g.dial(t, "alice", dialOptions{})
	c := newConnect(frames.V311, "tab", s.issuer.token(t, "alice"))
	w.send(c.Append(nil, frames.V311))
	_, got := d.acceptConnect(t, connackOK(frames.V311))
	if got.Username != "gateway" || string(got.Password) != "open sesame" || got.ClientID != "tg/alice/tab" {
		t.Errorf("CONNECT upstream has %q, %q, %q; want gateway, open sesame, tg/alice/tab", got.Username, got.Password, got.ClientID)
	}
	w.connack()
}

func TestTwoUsersNeverShareAClientIdentifier(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	var all []*wire
	for _, who := range []struct{ user, id string }{
		{"a", "b:c"}, {"a:b", "c"}, {"a%3Ab", "c"}, {"a%253Ab", "c"}, {"a", "b%3Ac"}, {"a:b:c", ""}, {"a:", "b:c"}, {"A", "b:c"},
	} {
		all = append(all, s.connect(t, frames.V5, who.id, s.issuer.token(t, who.user)))
	}
	for i, w := range all { // whoever had been taken over would not answer
		w.publish(message("room", fmt.Sprint(i), 1))
		w.ping()
	}
}

func TestTheSameUserAndClientIdentifierTakesOver(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	token := s.issuer.token(t, "alice")
	for _, v := range versions {
		first := s.connect(t, v, "tab", token)
		second := s.connect(t, v, "tab", token)
		first.takenOver()
		second.ping()
	}
}

func TestAnEmptyClientIdentifier(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	token := s.issuer.token(t, "alice")
	persistent := func(c *frames.Connect) { c.CleanStart = false }
	if _, connack := s.connecting(t, frames.V311, "", token, persistent); connack.Reason != frames.V3IdentifierRejected {
		t.Errorf("3.1.1, CleanSession 0: CONNACK %#x; want %#x", uint8(connack.Reason), uint8(frames.V3IdentifierRejected)) // [MQTT-3.1.3-8] of 3.1.1
	}
	s.connect(t, frames.V311, "", token).ping()
	s.connect(t, frames.V311, "", token).ping()

	w, connack := s.connecting(t, frames.V5, "", token, persistent, func(c *frames.Connect) {
		c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, 60)
	})
	id, has := connack.Properties.Bytes(frames.PropAssignedClientIdentifier)
	if connack.Reason != frames.Success || !has || len(id) == 0 || strings.Contains(string(id), "alice") {
		t.Fatalf("5.0: CONNACK %#x, Assigned Client Identifier %q; want one that is not the namespaced one", uint8(connack.Reason), id)
	}
	s.broker.stderr.await(t, "as alice:"+string(id)+" ")
	w.subscribed("room")
	w.disconnect()
	_, connack = s.connecting(t, frames.V5, string(id), token, persistent)
	if _, has := connack.Properties.Bytes(frames.PropAssignedClientIdentifier); has || !connack.SessionPresent {
		t.Errorf("5.0 with the identifier: session present %v, assigned %v; want true, false", connack.SessionPresent, has)
	}
}

func TestAClientIdentifierThatGrowsTooLongIsRefusedAndNotCut(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	long := strings.Repeat("x", 65530)
	for v, want := range map[frames.Version]frames.ReasonCode{frames.V311: frames.V3IdentifierRejected, frames.V5: frames.ClientIDNotValid} {
		if _, connack := s.connecting(t, v, long, s.issuer.token(t, "alice")); connack.Reason != want {
			t.Errorf("%s: CONNACK %#x; want %#x", v, uint8(connack.Reason), uint8(want))
		}
	}
}
