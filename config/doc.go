// Package config answers: what did the operator ask for?
//
// All settings come from environment variables named TOPICGATE_*. Load turns them into one
// checked Config, or into Problems that name every mistake at once under its variable's full
// name. The struct's tags are the only place where a setting is written down: its variable, its
// default, its bounds and its meaning; the table of "topicgate config" and the one in this
// folder's README.md are made from them.
//
// A setting that is unknown is an error and not ignored, since in a security gateway a mistyped
// name is a protection that silently isn't there. A variable set to nothing takes the default,
// as if it were not set, but for the settings where nothing means something (tag empty:"none").
// A setting of type Secret may be given as a file's content instead, by its name with _FILE.
package config
