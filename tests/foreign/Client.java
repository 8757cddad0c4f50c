/* JeroMQ, ZeroMQ written anew in Java, and msgpack-core. */
import java.util.*;
import org.msgpack.core.*;
import org.msgpack.value.*;
import org.zeromq.ZMQ;

public class Client {
	static final ZMQ.Context context = ZMQ.context(1);
	static String endpoint;
	static ZMQ.Socket socket;
	static long number;
	static boolean goaway;
	static final Map<Long, ArrayValue> replies = new HashMap<>();

	static void check(boolean holds, String what) {
		if (!holds)
			throw new AssertionError(what);
	}

	static ZMQ.Socket connected(int type) {
		ZMQ.Socket s = context.socket(type);
		s.setLinger(0);
		s.setReceiveTimeOut(10000);
		s.connect(endpoint);
		return s;
	}

	static byte[] pack(long id, Object... request) throws Exception {
		MessageBufferPacker p = MessagePack.newDefaultBufferPacker();
		p.packArrayHeader(4).packInt(0).packLong(id).packString((String) request[0]);
		p.packArrayHeader(request.length - 1);
		for (int i = 1; i < request.length; i++)
			if (request[i] instanceof byte[]) {
				byte[] b = (byte[]) request[i];
				p.packBinaryHeader(b.length).writePayload(b);
			} else {
				p.packString((String) request[i]);
			}
		return p.toByteArray();
	}

	/* One message; a reply to what has been given up is kept too. */
	static void take() throws Exception {
		do {
			byte[] frame = socket.recv(0);
			check(frame != null, "no reply in time");
			MessageUnpacker u = MessagePack.newDefaultUnpacker(frame);
			while (u.hasNext()) {
				ArrayValue m = u.unpackValue().asArrayValue();
				if (m.get(0).asIntegerValue().asInt() == 2)
					goaway = true;
				else
					replies.put(m.get(1).asIntegerValue().asLong(), m);
			}
		} while (socket.hasReceiveMore());
	}

	static Value result(long id) throws Exception {
		while (!replies.containsKey(id))
			take();
		ArrayValue m = replies.remove(id);
		check(m.get(2).isNilValue(), "error: " + m.get(2));
		return m.get(3);
	}

	static List<Value> many(int frames, List<Object[]> requests) throws Exception {
		List<java.io.ByteArrayOutputStream> out = new ArrayList<>();
		List<Value> results = new ArrayList<>();
		int n = (requests.size() + frames - 1) / frames;
		long first = number + 1;
		for (int i = 0; i < requests.size(); i++) {
			if (i % n == 0)
				out.add(new java.io.ByteArrayOutputStream());
			out.get(out.size() - 1).write(pack(++number, requests.get(i)));
		}
		for (int i = 0; i < out.size(); i++)
			socket.send(out.get(i).toByteArray(), i + 1 < out.size() ? ZMQ.SNDMORE : 0);
		for (long id = first; id <= number; id++)
			results.add(result(id));
		return results;
	}

	static Value call(Object... request) throws Exception {
		return many(1, Collections.singletonList(request)).get(0);
	}

	static String text(Value v) {
		return new String(v.asArrayValue().get(0).asRawValue().asByteArray());
	}

	static void basics() throws Exception {
		List<Object[]> puts = new ArrayList<>();
		List<Object[]> gets = new ArrayList<>();
		socket = connected(ZMQ.DEALER);
		call("create", "java");
		for (int i = 0; i < 500; i++) {
			puts.add(new Object[] {"put", "java", "k" + i, ("v" + i).getBytes()});
			gets.add(new Object[] {"get", "java", "k" + i});
		}
		many(1, puts);
		List<Value> got = many(2, gets);
		for (int i = 0; i < 500; i++)
			check(text(got.get(i)).equals("v" + i), "k" + i + " is " + got.get(i));
		byte[] big = new byte[1 << 20];
		new Random(1).nextBytes(big);
		call("put", "java", "big", big);
		check(Arrays.equals(big, call("get", "java", "big").asArrayValue().get(0).asRawValue().asByteArray()), "big differs");
		socket.close();
		socket = connected(ZMQ.REQ);
		List<Value> two = many(1, Arrays.asList(new Object[] {"ping"}, new Object[] {"count", "java"}));
		check(two.get(0).toString().equals("pong") && two.get(1).toString().equals("501"), "REQ: " + two);
		socket.close();
	}

	/* This JeroMQ has no REQ_CORRELATE: the frames that one sends, by a DEALER. */
	static void correlate() throws Exception {
		socket = connected(ZMQ.DEALER);
		for (int i = 0; i < 10; i++) {
			byte[] id = {1, 2, 3, (byte) i};
			socket.send(id, ZMQ.SNDMORE);
			socket.send(new byte[0], ZMQ.SNDMORE);
			socket.send(pack(++number, "ping"), 0);
			check(Arrays.equals(id, socket.recv(0)), "the id did not come back");
			check(socket.recv(0).length == 0, "no empty frame");
			take();
			check(result(number).toString().equals("pong"), "no pong");
		}
		socket.close();
	}

	static void steady() throws Exception {
		int n = 0;
		socket = connected(ZMQ.DEALER);
		call("create", "steady");
		System.out.println("ready");
		for (int left = -1; left != 0; left--, n++) {
			while ((socket.getEvents() & ZMQ.Poller.POLLIN) != 0)
				take();
			if (goaway) {
				socket.close();
				socket = connected(ZMQ.DEALER);
				goaway = false;
				left = 50;
			}
			call("put", "steady", "k" + n, "v");
		}
		socket.close();
		System.out.println("done " + n);
	}

	public static void main(String[] args) throws Exception {
		endpoint = args[0];
		if (args[1].equals("basics"))
			basics();
		else if (args[1].equals("correlate"))
			correlate();
		else
			steady();
		System.exit(0);
	}
}
