//go:build !linux

package main

// A developer's machine: the walls in rooted.go and silence stand, the bounds of Linux do not.
func confine(limits) {}
func grantCPU(int64) {}
