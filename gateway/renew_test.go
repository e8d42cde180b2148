package gateway

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/registry"
)

// tokens verifies what it holds.
type tokens map[string]auth.Identity

func (t tokens) Verify(_ context.Context, token string) (auth.Identity, error) {
	identity, known := t[token]
	if !known {
		return identity, &auth.Refused{Reason: auth.ReasonExpired}
	}
	return identity, nil
}

// The same issuer, subject and username must have a fresh token: two issuers may call different people by one name.
// Who tries another hears of it, and so does the audit.
func TestAFreshTokenOfAnybodyElseIsRefused(t *testing.T) {
	alice := auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice"}
	issuer, subject, username := alice, alice, alice
	issuer.Issuer, subject.Subject, username.Username = "https://two.example", "2", "bob"
	verifier := tokens{"alice": alice, "issuer": issuer, "subject": subject, "username": username}
	eachVersion(t, func(t *testing.T, v frames.Version) {
		for _, token := range []string{"issuer", "subject", "username"} {
			c := newRig(t, func(o *rigOptions) { o.Verifier = verifier }).connect(v, "alice")
			c.asks(1, 0, at(0, topicRejected))
			c.granted(1, 0)
			c.say(publishHex(v, topicToken, 1, 7, token))
			c.expectRejected(v, "publish", topicToken)
			refused := frames.Success
			if v == frames.V5 {
				refused = frames.NotAuthorized
			}
			c.hears(ackHex(frames.TypePuback, 7, refused, v))
			c.wantAudited(`"action":"publish"`, `"topic":"$topicgate/token"`, `"reason":"other_subject"`)
		}
	})
}

func TestARefusedReauthenticationIsAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRig(t, nil).connectByAuth("alice")
		c.say(authHex(frames.Reauthenticate, oauth2JWT, "bob"))
		c.hears("e0 01 87")
		c.closes(4401)
		c.wantAudited(`"action":"connect"`, `"user":"alice"`, `"reason":"other_subject"`)
	})
}

// A fresh token brings its own roles and its own end: what it allows is allowed at once, what it does not falls silent.
func TestAFreshTokenBringsItsOwnRights(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		begin := time.Now()
		plain := auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice", Expiry: begin.Add(time.Hour)}
		promoted := plain
		promoted.Roles, promoted.Expiry = []string{"moderator"}, begin.Add(2*time.Hour)
		r := newRooms(t, func(o *rigOptions) { o.Verifier = tokens{"plain": plain, "promoted": promoted} })
		r.setRules(roomRules + "role moderator\ntopic read room/three/#\n")
		c := r.connect(v, "plain")
		c.asks(1, 0, at(1, "room/#"))
		c.grants(c.asked("room/one/#", "room/two/#").PacketID, 1, 1)
		c.granted(1, 1)
		renew := func(token string) {
			c.say(publishHex(v, topicToken, 0, 0, token))
		}
		renew("promoted")
		c.grants(c.asked("room/three/#").PacketID, 1)
		c.reply(messageHex(v, "room/three/x"))
		c.hears(messageHex(v, "room/three/x"))
		synctest.Wait() // the review may be ahead of the registry
		if live := r.server.Sessions(); len(live) != 1 || !live[0].Expires.Equal(promoted.Expiry) {
			t.Errorf("Sessions() = %+v; want one that expires at %v", live, promoted.Expiry)
		}
		renew("plain")
		c.releases(c.left("room/three/#"))
		c.reply(messageHex(v, "room/three/x"))
		c.reply(messageHex(v, "room/one/x"))
		c.hears(messageHex(v, "room/one/x"))
		synctest.Wait()
		if !slices.ContainsFunc(r.server.Sessions(), func(s registry.SessionInfo) bool { return s.Expires.Equal(plain.Expiry) }) {
			t.Errorf("Sessions() = %+v; want one that expires at %v", r.server.Sessions(), plain.Expiry)
		}
	})
}
