// Package dialect knows what a broker takes for something else in topics, filters and identifiers: what is one thing to
// the rules, and another one to the broker.
//
// RabbitMQ routes by AMQP's words. It writes '/' as '.' and '+' as '*', and back, so "all/secret.x" is published to
// "all/secret/x", whatever a rule says of that; a Shared Subscription is a filter like any other there. NATS routes by
// subjects, in which '.' separates, '*' and '>' are wildcards and a blank ends; what begins with '$' is its own (the
// JetStream API, the stores of MQTT itself). EMQX publishes "$delayed/5/all/secret/x" to "all/secret/x" five seconds
// later, and subscribes who asks for "$exclusive/all/secret/x" to the same.
//
// So a Topic Name or Topic Filter that such a broker takes for another one never reaches it. To translate them would do
// no good: others that publish and subscribe there, without the gateway, know nothing of the translation. Identifiers
// are read by nobody but the broker, and are encoded.
//
// What comes from the broker has been translated by it already, and is judged as the client would see it.
package dialect
