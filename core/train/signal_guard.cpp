#include "core/train/signal_guard.h"

#include <unistd.h>
#include <csignal>

namespace moe {

// A signal handler can only access globals.
static volatile std::sig_atomic_t g_received = 0;

static void on_signal(int signal) {
  if (g_received != 0) _exit(128 + signal);
  g_received = signal == SIGUSR1 ? SIGTERM : signal;
}

static constexpr int kSignals[] = {SIGTERM, SIGINT, SIGUSR1};

SignalGuard::SignalGuard() {
  g_received = 0;
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
