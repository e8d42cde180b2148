// Package integration asks one question: does the built binary keep its promises beside real servers?
//
// It holds tests only. Each test starts what it needs on free loopback ports and in directories of its
// own (mosquitto, redis-server, an OpenID Connect provider, the gateway itself), talks to the gateway as
// its users do, and stops what it started; what the servers wrote is shown when the test fails. Nothing
// of ours is imported but the wire codec, so that a test can see only what a client, a broker, a back end
// or an operator sees.
//
// The rig is in the rig_*_test.go files, one server or client each; the themes are beside it.
//
// A server that is not installed skips its tests at a desk and fails them when CI=true or
// TEST_SERVERS=required (as `make test` sets it); the message names the package to install.
package integration
