package integration

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if broker := os.Getenv(ownBroker); broker != "" {
		return beBroker(broker)
	}
	dir, err := os.MkdirTemp("", "topicgate-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	buildDir = dir
	code := m.Run()
	// paho.mqtt.golang sleeps its pause before a new try out, though it was told to disconnect.
	const paho = "github.com/eclipse/paho%2emqtt%2egolang."
	if err := goleak.Find(goleak.IgnoreAnyFunction(paho+"(*backoffController).sleepWithBackoff"),
		goleak.IgnoreAnyFunction(paho+"(*client).Connect.func1"), goleak.IgnoreAnyFunction(paho+"(*connectionStatus).Disconnecting")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
