#include "comm/peer_watch.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "comm/peer_links.h"
#include "core/base/background_thread.h"
#include "core/base/error.h"
#include "core/base/host.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/machine/cpu_facts.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

// What a link carries. A text about a lost rank follows kLost, up to the end of the line.
constexpr char kAlive = 'a', kEnds = 'e', kFails = 'f', kLost = 'l';

// Between the end of a connection and the report: a job that ends all its ranks at once is no loss, and KillWatch
// can print its reason first. mpirun leaves the other ranks half a second.
constexpr std::chrono::milliseconds kPatience{400};

// The kernel asks the other one for a sign of life after a quarter of the time without traffic, and gives up early
// enough for the job to end in time.
void keep_alive(int descriptor, double seconds) {
  const double limit = seconds - std::min(5.0, seconds / 5);
  const int on = 1, part = std::max(1, static_cast<int>(limit / 4)), count = 3,
            milliseconds = static_cast<int>(limit * 1000);
  setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &part, sizeof part);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &part, sizeof part);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

bool is_cut(int error) {
  return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH || error == ENETDOWN;
}

std::string name_of(const Peer& peer) {
  return fmt::format("rank {} (host {})", peer.rank, shown(peer.host));
}

}  // namespace

class PeerWatch::Watcher {
 public:
  Watcher(std::vector<PeerLink> links, const Options& options, OnLoss on_loss)
      : options_(options), on_loss_(std::move(on_loss)) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    stop_ = Socket(ends[0]), stopper_ = Socket(ends[1]);
    const auto now = Clock::now();
    for (PeerLink& link : links) {
      keep_alive(link.socket.get(), options.seconds);
      links_.push_back({.link = std::move(link), .text = {}, .heard = now});
    }
    thread_ = background_thread([this] { watch(); });
  }
  ~Watcher() {
    end_thread();
    tell(std::uncaught_exceptions() > exceptions_ ? kFails : kEnds);
  }
  void vanish() {
    end_thread();
    links_.clear();
  }
  size_t size() const { return links_.size(); }

 private:
  struct Watched {
    PeerLink link;
    std::optional<std::string> text;  // what has been read of a line about a lost rank
    Clock::time_point heard;          // the last sign of life
    bool is_open = true;
  };
  struct Loss {
    std::string message;
    Clock::time_point report;
    bool is_news = true;  // on this host
  };

  void end_thread() {
    stopper_ = Socket();  // the reading end becomes ready
    if (thread_.joinable()) thread_.join();
  }

  // Sends to all peers. A full buffer means that a peer does not read; what it misses it can do without.
  void tell(std::string_view bytes) const {
    for (const Watched& w : links_) {
      if (w.is_open) (void)send(w.link.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
  void tell(char kind) const { tell(std::string_view(&kind, 1)); }

  void lose(const std::string& message, std::chrono::milliseconds patience) {
    if (!loss_) loss_ = Loss{.message = message, .report = Clock::now() + patience};
  }

  void watch() {
    std::vector<pollfd> entries{{stop_.get(), POLLIN, 0}};
    for (const Watched& w : links_) entries.push_back({w.link.socket.get(), POLLIN, 0});
    auto beat = Clock::now();
    while (true) {
      std::optional<Clock::time_point> next;
      if (options_.ends_stopped) next = beat;
      if (loss_) next = std::min(next.value_or(loss_->report), loss_->report);
      if (poll(entries.data(), entries.size(), milliseconds_until(next)) < 0 && errno != EINTR) return;
      if (entries[0].revents != 0) return;
      for (size_t i = 0; i < links_.size(); ++i) {
        if (entries[i + 1].revents != 0 && !read(links_[i])) {
          links_[i].is_open = false;
          entries[i + 1].fd = -1;
        }
      }
      if (options_.ends_stopped && Clock::now() >= beat) beat = exchange_signs(beat);
      if (loss_ && Clock::now() >= loss_->report) return report();
    }
  }

  static int milliseconds_until(const std::optional<Clock::time_point>& time) {
    if (!time) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*time - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 1000000));
  }

  // Reads what a peer sent. Returns whether the connection is still watched.
  bool read(Watched& w) {
    char bytes[512];
    while (true) {
      const ssize_t count = recv(w.link.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) return true;
      if (count <= 0) {
        closed(w.link.peer, count < 0 ? errno : 0);
        return false;
      }
      w.heard = Clock::now();
      for (const char byte : std::string_view(bytes, static_cast<size_t>(count))) {
        if (!take(w, byte)) return false;
      }
    }
  }

  // One byte from a peer. Returns whether it is still watched.
  bool take(Watched& w, char byte) {
    if (w.text) {
      if (byte != '\n') {
        w.text->push_back(byte);
      } else {
        lose(*w.text, {});
        loss_->is_news = !w.link.peer.is_here;
        w.text.reset();
      }
      return true;
    }
    if (byte == kLost) w.text.emplace();
    if (byte == kFails && !job_fails_) {
      job_fails_ = true;
      loss_.reset();
      tell(kFails);
    }
    return byte != kEnds && byte != kFails;
  }

  void closed(const Peer& peer, int error) {
    if (is_cut(error)) {
      lose(fmt::format("host {} (rank {}) has not answered for {:g} seconds (parallel.timeout): the link to it is cut",
                       shown(peer.host), peer.rank, options_.seconds),
           {});
    } else if (!job_fails_) {
      lose(fmt::format("{} has ended without a word: it was killed, or its host was", name_of(peer)), kPatience);
    }
  }

  // Sends a sign of life, and looks who has sent none. Returns when to do so again.
  Clock::time_point exchange_signs(Clock::time_point due) {
    const auto now = Clock::now();
    const std::chrono::duration<double> limit(options_.seconds);
    const auto pause =
        std::chrono::duration_cast<Clock::duration>(std::min(limit / 5, std::chrono::duration<double>(5)));
    tell(kAlive);
    for (Watched& w : links_) {
      // A process that was stopped itself has received nothing.
      if (now - due > pause) w.heard = now;
      if (w.is_open && now - w.heard > limit) {
        lose(fmt::format("{} has given no sign of life for {:g} seconds (parallel.timeout): it is stopped, or its "
                         "machine is; parallel.end_if_stopped: false waits for it",
                         name_of(w.link.peer), options_.seconds),
             {});
      }
    }
    return now + pause;
  }

  void report() {
    tell(kLost + loss_->message + "\n");
    on_loss_(loss_->is_news ? loss_->message : "");
  }

  std::vector<Watched> links_;
  const Options options_;
  const OnLoss on_loss_;
  const int exceptions_ = std::uncaught_exceptions();
  std::optional<Loss> loss_;
  bool job_fails_ = false;  // a rank ends the job for a reason that it prints itself
  Socket stop_, stopper_;   // the ends of a pipe
  std::thread thread_;
};

PeerWatch::PeerWatch(Communicator& world, Options options, OnLoss on_loss) {
  if (world.size() == 1 || options.seconds <= 0) return;
  PeerLinks peers = connect_peers(world);
  if (!peers.missing.empty()) {
    std::vector<std::string> names;
    for (const Peer& peer : peers.missing) names.push_back(name_of(peer));
    log::warn("{} could not be connected, so only MPI would notice the loss of {}", join(names, ", "),
              names.size() == 1 ? "it" : "them");
  }
  watcher_ = std::make_unique<Watcher>(std::move(peers.links), options, std::move(on_loss));
}

PeerWatch::~PeerWatch() = default;

size_t PeerWatch::watched() const {
  return watcher_ ? watcher_->size() : 0;
}

void PeerWatch::vanish() {
  if (watcher_) watcher_->vanish();
}

void PeerWatch::end_job(const std::string& message) {
  if (!message.empty()) {
    std::fprintf(stderr, "Error: %s (reported by host %s)\n", message.c_str(), shown(host_name()).c_str());
    std::fflush(stderr);
  }
  // Other launchers end a job by themselves; Slurm would wait for its daemon if that were killed.
  const int launcher = open_mpi_launcher(SystemFiles());
  if (launcher > 1 && fork() == 0) {
    // The launcher notices the end of its ranks and ends the others of this host, but then waits for the daemon on the
    // lost host. (At a SIGTERM on top of that, Open MPI 4.1 crashes with a page of addresses.) Only functions that are
    // safe after a fork of a program with threads.
    setsid();
    const timespec pause{3, 0};
    nanosleep(&pause, nullptr);
    kill(launcher, SIGKILL);
    _exit(0);
  }
  _exit(static_cast<int>(ExitCode::device));
}

}  // namespace moe
