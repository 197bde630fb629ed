#include "comm/peer_links.h"

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
#include <random>
#include <utility>

#include "comm/rank_texts.h"
#include "core/base/host.h"
#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

Socket::~Socket() {
  if (descriptor_ >= 0) close(descriptor_);
}

namespace {

using Token = std::array<char, 16>;  // says that the other end is the peer that was meant

// What a rank tells the others: its token, its host's name and, if it is the first rank there, the port and the
// addresses by which it is reached, separated by blanks.
struct Endpoint {
  std::string host;
  int rank = 0;
  Token token{};
  uint16_t port = 0;  // 0: not the first rank of its host
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
// How long a peer may take to answer, which is waited for, and all of them together.
constexpr std::chrono::seconds kAnswer{10}, kAllAnswers{30};

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
    const auto deadline = Clock::now() + kAnswer;
    Socket socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 && errno != EINPROGRESS) continue;
    if (!ready(socket.get(), POLLOUT, deadline) || !send_token(socket.get(), own)) continue;
    Token answer{};
    if (read_token(socket.get(), answer, deadline) && answer == peer.token) return socket;
  }
  return Socket();
}

// Connects to the peers before `own`, and accepts those after it.
std::vector<PeerLink> connect_all(const std::vector<Endpoint>& peers, const Endpoint& own, int own_host,
                                  const Communicator& world, const Socket& listener) {
  std::vector<PeerLink> links;
  const auto add = [&](Socket socket, const Endpoint& peer) {
    links.push_back({std::move(socket), {peer.rank, peer.host, world.host_of(peer.rank) == own_host}});
  };
  size_t expected = 0;
  for (const Endpoint& peer : peers) {
    if (peer.rank > own.rank) {
      ++expected;
      continue;
    }
    Endpoint reached = peer;
    // On the same host by the loopback address, because a container may have no other.
    if (world.host_of(peer.rank) == own_host) reached.addresses.insert(reached.addresses.begin(), {"127.0.0.1", "::1"});
    if (Socket socket = connect_to(reached, own.token)) add(std::move(socket), peer);
  }
  const auto deadline = Clock::now() + kAllAnswers;
  while (expected > 0 && ready(listener.get(), POLLIN, deadline)) {
    Socket socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    Token token{};
    if (!socket || !read_token(socket.get(), token, std::min(deadline, Clock::now() + kAnswer))) continue;
    const auto peer = std::find_if(peers.begin(), peers.end(),
                                   [&](const Endpoint& e) { return e.rank > own.rank && e.token == token; });
    if (peer == peers.end() || !send_token(socket.get(), own.token)) continue;
    add(std::move(socket), *peer);
    --expected;
  }
  return links;
}

}  // namespace

PeerLinks connect_peers(Communicator& world) {
  const int host = world.host_of(world.rank());
  const auto leader_of = [&](int rank) {
    int leader = 0;
    while (world.host_of(leader) != world.host_of(rank)) ++leader;
    return leader;
  };
  const bool leads = leader_of(world.rank()) == world.rank();
  Endpoint own;
  own.host = host_name(), own.rank = world.rank(), own.token = random_token();
  Socket listener;
  if (leads) {
    listener = listen_anywhere(own.port);
    own.addresses = own_addresses();
  }
  const std::vector<std::string> texts = gather_texts(world, to_text(own));
  std::vector<Endpoint> peers;
  for (int rank = 0; rank < world.size(); ++rank) {
    const bool is_here = world.host_of(rank) == host, is_leader = leader_of(rank) == rank;
    if (rank != own.rank && (leads ? is_here || is_leader : is_here && is_leader))
      peers.push_back(parse_endpoint(texts[as_index(rank)], rank));
  }
  PeerLinks result;
  result.links = connect_all(peers, own, host, world, listener);
  for (const Endpoint& peer : peers) {
    const bool is_connected = std::any_of(result.links.begin(), result.links.end(),
                                          [&](const PeerLink& l) { return l.peer.rank == peer.rank; });
    if (!is_connected) result.missing.push_back({peer.rank, peer.host, world.host_of(peer.rank) == host});
  }
  return result;
}

}  // namespace moe
