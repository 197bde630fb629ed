#include "comm/link_watch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <random>
#include <thread>
#include <utility>

#include "comm/rank_texts.h"
#include "core/base/background_thread.h"
#include "core/base/error.h"
#include "core/base/host.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/machine/cpu_facts.h"

namespace moe {
namespace {

// A file descriptor that is closed.
class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

using Token = std::array<char, 16>;  // says that the other end is the peer that was meant

// What a host's first rank tells the others: its name, token, port and addresses, separated by blanks.
struct Endpoint {
  std::string host;
  int rank = 0;
  Token token{};
  uint16_t port = 0;
  std::vector<std::string> addresses;
};

std::string to_text(const Endpoint& e) {
  return fmt::format("{} {} {} {}", std::string(e.token.begin(), e.token.end()), e.port, e.host,
                     join(e.addresses, " "));
}

Endpoint parse_endpoint(const std::string& text, int rank) {
  const std::vector<std::string> words = split(text, ' ');
  Endpoint e;
  e.host = words.at(2), e.rank = rank, e.port = static_cast<uint16_t>(std::stoi(words.at(1)));
  std::copy_n(words.at(0).begin(), std::min(words[0].size(), e.token.size()), e.token.begin());
  e.addresses.assign(words.begin() + 3, words.end());
  return e;
}

Token random_token() {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::random_device random;
  Token token;
  for (char& c : token) c = kLetters[random() % 32];
  return token;
}

// The IPv4 and IPv6 addresses by which another host may reach this one.
std::vector<std::string> own_addresses() {
  std::vector<std::string> result;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return result;
  for (const ifaddrs* i = all; i; i = i->ifa_next) {
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (i->ifa_addr->sa_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr, text, sizeof text);
    } else if (i->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr;
      if (!IN6_IS_ADDR_LINKLOCAL(&address)) inet_ntop(AF_INET6, &address, text, sizeof text);
    }
    if (*text) result.emplace_back(text);
  }
  freeifaddrs(all);
  return result;
}

// Listens on any free port of all addresses, IPv4 ones included.
Socket listen_anywhere(uint16_t& port) {
  for (const int family : {AF_INET6, AF_INET}) {
    Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    address.ss_family = static_cast<sa_family_t>(family);
    const int off = 0;
    if (family == AF_INET6) setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 || listen(socket.get(), 512) != 0 ||
        getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      continue;
    }
    port = ntohs(family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                                    : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
    return socket;
  }
  return Socket();
}

using Clock = std::chrono::steady_clock;

// Waits until the descriptor is ready; false at the deadline or after an error.
bool ready(int descriptor, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd entry{descriptor, events, 0};
    const int count = poll(&entry, 1, static_cast<int>(left));
    if (count > 0) return (entry.revents & events) != 0;
    if (count < 0 && errno != EINTR) return false;
  }
}

bool read_token(int descriptor, Token& token, Clock::time_point deadline) {
  for (size_t done = 0; done < token.size();) {
    if (!ready(descriptor, POLLIN, deadline)) return false;
    const ssize_t count = recv(descriptor, token.data() + done, token.size() - done, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return false;
    done += static_cast<size_t>(std::max<ssize_t>(count, 0));
  }
  return true;
}

bool send_token(int descriptor, const Token& token) {
  return send(descriptor, token.data(), token.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(token.size());
}

// Connects to one of the peer's addresses. Another host may have the same address in a network of its own, so the peer
// must show its token.
Socket connect_to(const Endpoint& peer, const Token& own) {
  for (const std::string& text : peer.addresses) {
    sockaddr_storage address{};
    socklen_t size = sizeof(sockaddr_in);
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET, v4.sin_port = htons(peer.port);
    } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6, v6.sin6_port = htons(peer.port);
      size = sizeof(sockaddr_in6);
    } else {
      continue;
    }
    const auto deadline = Clock::now() + std::chrono::seconds(3);
    Socket socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 && errno != EINPROGRESS) continue;
    if (!ready(socket.get(), POLLOUT, deadline) || !send_token(socket.get(), own)) continue;
    Token answer{};
    if (read_token(socket.get(), answer, deadline) && answer == peer.token) return socket;
  }
  return Socket();
}

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

struct Link {
  Socket socket;
  Endpoint peer;
};

// Links of the host `own` to all hosts: it connects to those before it in the list and accepts those after it.
std::vector<Link> connect_all(const std::vector<Endpoint>& hosts, size_t own, const Socket& listener) {
  std::vector<Link> links;
  for (size_t i = 0; i < own; ++i) {
    if (Socket socket = connect_to(hosts[i], hosts[own].token)) links.push_back({std::move(socket), hosts[i]});
  }
  const auto deadline = Clock::now() + std::chrono::seconds(15);
  size_t expected = hosts.size() - own - 1;
  while (expected > 0 && ready(listener.get(), POLLIN, deadline)) {
    Socket socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    Token token{};
    if (!socket || !read_token(socket.get(), token, std::min(deadline, Clock::now() + std::chrono::seconds(3))))
      continue;
    const auto peer = std::find_if(hosts.begin() + static_cast<std::ptrdiff_t>(own) + 1, hosts.end(),
                                   [&](const Endpoint& e) { return e.token == token; });
    if (peer == hosts.end() || !send_token(socket.get(), hosts[own].token)) continue;
    links.push_back({std::move(socket), *peer});
    --expected;
  }
  return links;
}

}  // namespace

class LinkWatch::Watcher {
 public:
  Watcher(std::vector<Link> links, double seconds, OnLoss on_loss)
      : links_(std::move(links)), seconds_(seconds), on_loss_(std::move(on_loss)) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    stop_ = Socket(ends[0]), stopper_ = Socket(ends[1]);
    for (const Link& link : links_) keep_alive(link.socket.get(), seconds);
    thread_ = background_thread([this] { watch(); });
  }
  ~Watcher() {
    stopper_ = Socket();  // the reading end becomes ready
    if (thread_.joinable()) thread_.join();
  }
  size_t size() const { return links_.size(); }

 private:
  void watch() {
    std::vector<pollfd> entries{{stop_.get(), POLLIN, 0}};
    for (const Link& link : links_) entries.push_back({link.socket.get(), POLLIN, 0});
    while (true) {
      if (poll(entries.data(), entries.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return;
      }
      if (entries[0].revents != 0) return;
      for (size_t i = 1; i < entries.size(); ++i) {
        if (entries[i].revents == 0) continue;
        char byte;
        const ssize_t count = recv(entries[i].fd, &byte, 1, MSG_DONTWAIT);
        if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))) continue;
        const int error = count < 0 ? errno : 0;
        entries[i].fd = -1;  // no longer watched
        if (error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH || error == ENETDOWN)
          report(links_[i - 1].peer);
      }
    }
  }
  void report(const Endpoint& peer) const {
    on_loss_(
        fmt::format("host {} (rank {}) has not answered for {:g} seconds (parallel.timeout): the link to it is cut",
                    shown(peer.host), peer.rank, seconds_));
  }

  std::vector<Link> links_;
  const double seconds_;
  const OnLoss on_loss_;
  Socket stop_, stopper_;  // the ends of a pipe
  std::thread thread_;
};

LinkWatch::LinkWatch(Communicator& world, int local_rank, double seconds, OnLoss on_loss) {
  if (world.size() == 1 || seconds <= 0) return;
  const bool leads = local_rank == 0;
  Endpoint own;
  own.host = host_name(), own.rank = world.rank(), own.token = random_token();
  Socket listener;
  if (leads) {
    listener = listen_anywhere(own.port);
    own.addresses = own_addresses();
  }
  const std::vector<std::string> texts = gather_texts(world, leads ? to_text(own) : "");
  if (!leads) return;
  std::vector<Endpoint> hosts;
  size_t mine = 0;
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    if (texts[rank].empty()) continue;
    if (static_cast<int>(rank) == world.rank()) mine = hosts.size();
    hosts.push_back(parse_endpoint(texts[rank], static_cast<int>(rank)));
  }
  if (hosts.size() < 2) return;
  std::vector<Link> links = connect_all(hosts, mine, listener);
  for (const Endpoint& host : hosts) {
    const bool connected =
        std::any_of(links.begin(), links.end(), [&](const Link& l) { return l.peer.rank == host.rank; });
    if (host.rank != own.rank && !connected) {
      log::warn(
          "the link to host {} is not watched, because it could not be connected: a cut would only be noticed by MPI",
          shown(host.host));
    }
  }
  watcher_ = std::make_unique<Watcher>(std::move(links), seconds, std::move(on_loss));
}

LinkWatch::~LinkWatch() = default;

size_t LinkWatch::watched() const {
  return watcher_ ? watcher_->size() : 0;
}

void LinkWatch::end_job(const std::string& message) {
  std::fprintf(stderr, "Error: %s (host %s)\n", message.c_str(), shown(host_name()).c_str());
  std::fflush(stderr);
  const int launcher = launcher_process(SystemFiles());
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
