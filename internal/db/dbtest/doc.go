// Package dbtest answers whether a driver does on real servers what package db
// says, and starts those servers for whoever needs one in a test.
//
// It never fakes a server. The one rule: it ends only processes that it
// started itself, also when a test fails.
package dbtest
