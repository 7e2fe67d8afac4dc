package login

// Endpoints are the paths that a [Handler] answers, under Options.Prefix.
var Endpoints = []string{"/login", "/callback", "/logout", "/signed-out", "/session"}
