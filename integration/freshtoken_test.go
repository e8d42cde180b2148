package integration

import (
	"testing"
	"time"

	"topicgate/frames"
)

// authenticating sends the token by OAUTH2-JWT, so that the session can re-authenticate.
func authenticating(token string) func(*frames.Connect) {
	return func(c *frames.Connect) { c.Properties = authProperties(token) }
}

func authProperties(token string) frames.Properties {
	p := frames.Properties(nil).AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT"))
	return p.AppendBytes(frames.PropAuthenticationData, []byte(token))
}

func (w *wire) reauthenticate(token string) {
	w.t.Helper()
	w.send(frames.Auth{Reason: frames.Reauthenticate, Properties: authProperties(token)}.Append(nil, w.version))
}

// That the old end has passed is told by a session with the same token that does nothing against it.
func TestAFreshTokenKeepsASessionBeyondTheOldOne(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"OIDC_CLOCK_SKEW": "0s"})
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("$topicgate/#", "end")
	short := s.issuer.token(t, "alice", claims{"exp": time.Now().Add(10 * time.Second).Unix()})
	fresh := s.issuer.token(t, "alice")

	witness := s.connect(t, frames.V5, "witness", short)
	var stay []*wire
	for qos, v := range versions {
		w := s.connect(t, v, "by-topic-"+v.String(), short)
		if code := w.publish(message(topicToken, fresh, frames.QoS(qos))); code >= 0x80 {
			t.Errorf("%s: %s answered %#x; want it taken", v, topicToken, uint8(code))
		}
		stay = append(stay, w)
	}
	w := s.connect(t, frames.V5, "by-auth", "", authenticating(short))
	w.reauthenticate(fresh)
	a, err := frames.ParseAuth(w.expect(frames.TypeAuth), frames.V5)
	if method, _ := a.Properties.Bytes(frames.PropAuthenticationMethod); err != nil || a.Reason != frames.Success || string(method) != "OAUTH2-JWT" {
		t.Errorf("AUTH %+v, %v; want Success by OAUTH2-JWT", a, err)
	}
	stay = append(stay, w)

	witness.expectDisconnect(frames.NotAuthorized)
	witness.expectClose(4401)
	for _, w := range stay {
		w.publish(message("end", w.name, 1))
		eye.receives("end", w.name) // and no token
	}
}

func TestATokenThatIsNotTheUsersOwnIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	others := s.issuer.token(t, "bob")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
			w.subscribed(topicRejected)
			for token, reason := range map[string]string{
				others: "other_subject",
				s.issuer.token(t, "alice", claims{"exp": time.Now().Add(-time.Hour).Unix()}): "token_expired",
			} {
				code := w.publish(message(topicToken, token, 1))
				if v == frames.V5 && code != frames.NotAuthorized {
					t.Errorf("PUBACK %#x; want %#x", uint8(code), uint8(frames.NotAuthorized))
				}
				if v := w.hears(topicRejected); v.Action != "publish" || v.Topic != topicToken || v.Reason != reason {
					t.Errorf("told %+v; want %s", v, reason)
				}
				s.audited(t, record{"action": "publish", "user": "alice", "client_id": "c" + v.String(), "topic": topicToken, "decision": "refused", "reason": reason})
			}
			w.ping() // the old token goes on
		})
	}
	t.Run("AUTH", func(t *testing.T) {
		w := s.connect(t, frames.V5, "auth", "", authenticating(s.issuer.token(t, "alice")))
		w.reauthenticate(others)
		w.expectDisconnect(frames.NotAuthorized)
		w.expectClose(4401)
		s.audited(t, record{"action": "connect", "user": "alice", "client_id": "auth", "decision": "refused", "reason": "other_subject"})
	})
}

func TestAClientHearsAMinuteBeforeThatItsTokenEnds(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"OIDC_CLOCK_SKEW": "0s"})
	end := time.Now().Add(70 * time.Second).Truncate(time.Second)
	token := s.issuer.token(t, "alice", claims{"exp": end.Unix()})
	var sessions []*wire
	for _, v := range versions {
		w := s.connect(t, v, "c"+v.String(), token)
		w.subscribed("$topicgate/+")
		sessions = append(sessions, w)
	}
	for _, w := range sessions {
		if v := w.hears(topicExpiring); v.Expires != end.UTC().Format(time.RFC3339) {
			t.Errorf("%s: told %+v; want the end at %v", w.version, v, end)
		}
		w.ping()
	}
}

func TestAClientHearsWhatWasRefusedToIt(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern readwrite mine/%u\n")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			other := s.connect(t, v, "other", s.issuer.token(t, "alice"))
			other.subscribed("$topicgate/#")
			w := s.connect(t, v, "c", s.issuer.token(t, "alice"))
			w.subscribed("$topicgate/#")
			for qos := range frames.QoS(3) {
				w.publish(message("mine/bob", "x", qos))
				if v := w.hears(topicRejected); v.Action != "publish" || v.Topic != "mine/bob" || v.Reason == "" {
					t.Errorf("told %+v; want the refused PUBLISH", v)
				}
			}
			if got := w.subscribe("mine/alice", "mine/bob"); got[0] > 2 || got[1] < 0x80 {
				t.Errorf("SUBSCRIBE answered % x; want the first granted, the second refused", got)
			}
			if v := w.hears(topicRejected); v.Action != "subscribe" || v.Topic != "mine/bob" {
				t.Errorf("told %+v; want the refused filter", v)
			}
			other.ping() // each client hears its own
		})
	}
}
