#include "core/train/signal_guard.h"

#include <unistd.h>
#include <csignal>

namespace moe {

// A signal handler can only access globals.
static volatile std::sig_atomic_t g_received = 0;

static volatile std::sig_atomic_t g_urged = 0;  // whether a SIGINT or SIGTERM was received

static void on_signal(int signal) {
  if (signal == SIGINT || signal == SIGTERM) {
    if (g_urged != 0) _exit(128 + signal);
    g_urged = 1;
  }
  if (g_received == 0) g_received = signal == SIGINT ? SIGINT : SIGTERM;
}

static constexpr int kSignals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGXCPU};

SignalGuard::SignalGuard() {
  g_received = 0;
  g_urged = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

SignalGuard::~SignalGuard() {
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
}

int SignalGuard::received() const {
  return g_received;
}

}  // namespace moe
