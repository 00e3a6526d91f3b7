//go:build tools

// Package tools holds nothing: it names what go.mod is for.
package tools

import _ "go.etcd.io/etcd/server/v3"
