package integration

import (
	"fmt"
	"testing"

	"topicgate/frames"
)

// aedes speaks 3.1 and 3.1.1; what it does otherwise than mosquitto must not matter.
func TestAnotherBrokerBehindTheGateway(t *testing.T) {
	t.Parallel()
	address, broker := startAedes(t)
	r, i := startRedis(t), newIssuer(t)
	policy := t.TempDir() + "/policy.acl"
	writeFile(t, policy, chatPolicy)
	g := startGateway(t, settings{
		"UPSTREAM_URLS": "tcp://" + address, "REDIS_URL": r.url(), "OIDC_ISSUER": i.url, "POLICY_FILE": policy, "SUBSCRIBE_MODE": "strict",
	})
	for _, v := range []frames.Version{frames.V31, frames.V311} {
		t.Run(v.String(), func(t *testing.T) {
			id := "tab" + v.String()
			alice, bob := g.connect(t, v, id, i.token(t, "alice")), g.connect(t, v, id, i.token(t, "bob"))
			broker.said.await(t, `"connected":"alice:`+id+`"`, `"username":"alice"`, `"password":null`)
			if codes := bob.subscribe("chat/messages/bob/+", "chat/messages/alice/+", "chat/status/+"); codes[0] > 2 || codes[1] != 0x80 || codes[2] > 2 {
				t.Errorf("SUBACK % x; want granted, 80, granted", codes)
			}
			for qos := range frames.QoS(3) {
				alice.publish(message("chat/messages/bob/carol", "forged", qos))
				alice.publish(message("chat/messages/bob/alice", fmt.Sprint("hello ", qos), qos))
				bob.receives("chat/messages/bob/alice", fmt.Sprint("hello ", qos))
			}
			bob.ping()
			alice.disconnect()
			kept := g.connect(t, v, id, i.token(t, "alice"), will("chat/status/alice", 1), func(c *frames.Connect) { c.CleanStart = false })
			kept.subscribed("chat/messages/alice/+")
			_ = kept.conn.Close()
			bob.receives("chat/status/alice", "gone")
			bob.publish(message("chat/messages/alice/bob", "while you were away", 1))
			kept = g.connect(t, v, id, i.token(t, "alice"), func(c *frames.Connect) { c.CleanStart = false })
			kept.receives("chat/messages/alice/bob", "while you were away")
			bob.disconnect()
		})
	}
}
