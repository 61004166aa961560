"""What a training step spent most of its time on, in Triton, forward and backward, for channels-last tensors on a GPU.

Group norm with its activation: torch's own wants channels first; around each norm it copies the tensor to that layout and
the convolution copies it back, a fifth of a step.  Two kernels each way: sums over a piece of the positions, then the
result from all sums.  A tile is [positions, groups, channels of a group]; groups are a power of two, channels of a
group are padded to one.  Bytes forward: the input read twice, the output written; backward: input and gradient read
twice, one gradient written.

Attention over depth: one query a pixel, keys and values along its ray.  As k = K c and v = V c with the same context c,
q . k = (K^T q) . c and sum a v = V (sum a c): neither k nor v, twice as large as c, is ever made.  Bytes forward: c read
once; backward: c read, its gradient written."""
import torch
import triton
import triton.language as tl

NONE, SILU, RELU = 0, 1, 2


@triton.jit
def tile(row, end, G: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BL: tl.constexpr):
    """Offsets and mask of the BL positions from row on, [BL, G, DP]."""
    p = row + tl.arange(0, BL)[:, None, None]
    g = tl.arange(0, G)[None, :, None]
    d = tl.arange(0, DP)[None, None, :]
    return (p * G + g) * D + d, (p < end) & (d < D) & (g < G)


@triton.jit
def of_channels(x, G: tl.constexpr, D: tl.constexpr, DP: tl.constexpr):
    """A vector over channels as [G, DP], zero where padded."""
    g = tl.arange(0, G)[:, None]
    d = tl.arange(0, DP)[None, :]
    return tl.load(x + g * D + d, mask=d < D, other=0.0).to(tl.float32)


@triton.jit
def sums(x, part, L, S, chunk, G: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BL: tl.constexpr):
    """part [N, S, 2, G]: sums of x and of its square over positions s * chunk ... of image n."""
    n, s = tl.program_id(0), tl.program_id(1)
    x += n.to(tl.int64) * L * G * D
    end = tl.minimum(L, (s + 1) * chunk)
    a = tl.zeros([G, DP], tl.float32)
    b = tl.zeros([G, DP], tl.float32)
    for row in range(s * chunk, end, BL):
        at, ok = tile(row, end, G, D, DP, BL)
        v = tl.load(x + at, mask=ok, other=0.0).to(tl.float32)
        a += tl.sum(v, 0)
        b += tl.sum(v * v, 0)
    g = tl.arange(0, G)
    part += (n * S + s) * 2 * G
    tl.store(part + g, tl.sum(a, 1))
    tl.store(part + G + g, tl.sum(b, 1))


@triton.jit
def apply(x, part, weight, bias, y, stat, L, S, chunk, eps, ACT: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
          BL: tl.constexpr):
    """y, and stat [N, 2, G]: mean and 1 / deviation."""
    n, s = tl.program_id(0), tl.program_id(1)
    g = tl.arange(0, G)
    a = tl.zeros([G], tl.float32)
    b = tl.zeros([G], tl.float32)
    for k in range(S):
        a += tl.load(part + (n * S + k) * 2 * G + g)
        b += tl.load(part + (n * S + k) * 2 * G + G + g)
    mean = a / (L * D)
    rstd = 1 / tl.sqrt(tl.maximum(b / (L * D) - mean * mean, 0.0) + eps)
    if s == 0:
        tl.store(stat + n * 2 * G + g, mean)
        tl.store(stat + n * 2 * G + G + g, rstd)
    scale = of_channels(weight, G, D, DP) * rstd[:, None]
    shift = of_channels(bias, G, D, DP) - mean[:, None] * scale
    x += n.to(tl.int64) * L * G * D
    y += n.to(tl.int64) * L * G * D
    end = tl.minimum(L, (s + 1) * chunk)
    for row in range(s * chunk, end, BL):
        at, ok = tile(row, end, G, D, DP, BL)
        z = tl.load(x + at, mask=ok, other=0.0).to(tl.float32) * scale[None, :, :] + shift[None, :, :]
        if ACT == 1:
            z = z * tl.sigmoid(z)
        if ACT == 2:
            z = tl.maximum(z, 0.0)
        tl.store(y + at, z.to(y.dtype.element_ty), mask=ok)


@triton.jit
def before_activation(xhat, dy, w, b, ACT: tl.constexpr):
    """The gradient before the activation; w, b [1, G, DP]."""
    if ACT == 1:
        z = xhat * w + b
        q = tl.sigmoid(z)
        dy = dy * q * (1 + z * (1 - q))
    if ACT == 2:
        dy = tl.where(xhat * w + b > 0, dy, 0.0)
    return dy


@triton.jit
def back_sums(x, dy, stat, weight, bias, part, L, S, chunk, ACT: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
              BL: tl.constexpr):
    """part [N, S, 2, C]: of each channel the sums of its gradient and of that times the normalised input."""
    n, s = tl.program_id(0), tl.program_id(1)
    g = tl.arange(0, G)
    mean = tl.load(stat + n * 2 * G + g)[None, :, None]
    rstd = tl.load(stat + n * 2 * G + G + g)[None, :, None]
    w, b = of_channels(weight, G, D, DP)[None, :, :], of_channels(bias, G, D, DP)[None, :, :]
    x += n.to(tl.int64) * L * G * D
    dy += n.to(tl.int64) * L * G * D
    end = tl.minimum(L, (s + 1) * chunk)
    p = tl.zeros([G, DP], tl.float32)
    q = tl.zeros([G, DP], tl.float32)
    for row in range(s * chunk, end, BL):
        at, ok = tile(row, end, G, D, DP, BL)
        xhat = (tl.load(x + at, mask=ok, other=0.0).to(tl.float32) - mean) * rstd
        dz = before_activation(xhat, tl.load(dy + at, mask=ok, other=0.0).to(tl.float32), w, b, ACT)
        p += tl.sum(dz, 0)
        q += tl.sum(dz * xhat, 0)
    d = tl.arange(0, DP)[None, :]
    at = part + (n * S + s) * 2 * G * D + g[:, None] * D + d
    tl.store(at, p, mask=d < D)
    tl.store(at + G * D, q, mask=d < D)


@triton.jit
def back_apply(x, dy, stat, weight, bias, part, dx, L, S, chunk, ACT: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
               BL: tl.constexpr):
    n, s = tl.program_id(0), tl.program_id(1)
    g = tl.arange(0, G)
    mean = tl.load(stat + n * 2 * G + g)[None, :, None]
    rstd = tl.load(stat + n * 2 * G + G + g)[None, :, None]
    w2 = of_channels(weight, G, D, DP)
    w, b = w2[None, :, :], of_channels(bias, G, D, DP)[None, :, :]
    p = tl.zeros([G, DP], tl.float32)
    q = tl.zeros([G, DP], tl.float32)
    for k in range(S):
        p += of_channels(part + (n * S + k) * 2 * G * D, G, D, DP)
        q += of_channels(part + ((n * S + k) * 2 + 1) * G * D, G, D, DP)
    c1 = (tl.sum(p * w2, 1) / (L * D))[None, :, None]
    c2 = (tl.sum(q * w2, 1) / (L * D))[None, :, None]
    x += n.to(tl.int64) * L * G * D
    dy += n.to(tl.int64) * L * G * D
    dx += n.to(tl.int64) * L * G * D
    end = tl.minimum(L, (s + 1) * chunk)
    for row in range(s * chunk, end, BL):
        at, ok = tile(row, end, G, D, DP, BL)
        xhat = (tl.load(x + at, mask=ok, other=0.0).to(tl.float32) - mean) * rstd
        dz = before_activation(xhat, tl.load(dy + at, mask=ok, other=0.0).to(tl.float32), w, b, ACT)
        tl.store(dx + at, (rstd * (dz * w - c1 - xhat * c2)).to(dx.dtype.element_ty), mask=ok)


def last(x):
    return x.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)


class GroupNorm(torch.autograd.Function):
    """group_norm(x, groups, weight, bias, eps), then NONE, SILU or RELU; x [N, C, ...] of four or five dimensions."""

    @staticmethod
    def forward(ctx, x, groups, weight, bias, eps, act):
        x = last(x)
        (N, C), L = x.shape[:2], x[0, 0].numel()
        D = C // groups
        DP = triton.next_power_of_2(D)
        BL = max(1, min(triton.next_power_of_2(L), 4096 // (groups * DP)))
        S = max(1, min(triton.cdiv(L, BL), triton.cdiv(1024, N)))
        chunk = triton.cdiv(triton.cdiv(L, S), BL) * BL
        ctx.sizes = dict(L=L, S=S, chunk=chunk, ACT=act, G=groups, D=D, DP=DP, BL=BL)
        shape = {k: v for k, v in ctx.sizes.items() if k != 'ACT'}
        part = torch.empty((N, S, 2, groups), device=x.device)
        stat, y = torch.empty((N, 2, groups), device=x.device), torch.empty_like(x)
        sums[(N, S)](x, part, **shape)
        apply[(N, S)](x, part, weight, bias, y, stat, eps=eps, **ctx.sizes)
        ctx.save_for_backward(x, weight, bias, stat)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, bias, stat = ctx.saved_tensors
        N, C, S = *x.shape[:2], ctx.sizes['S']
        dy, dx = last(dy), torch.empty_like(x)
        part = torch.empty((N, S, 2, C), device=x.device)
        back_sums[(N, S)](x, dy, stat, weight, bias, part, **ctx.sizes)
        back_apply[(N, S)](x, dy, stat, weight, bias, part, dx, **ctx.sizes)
        total = part.sum((0, 1))
        return dx, None, total[1].to(weight.dtype), total[0].to(bias.dtype), None, None


@triton.jit
def ray_tile(p0, P, HW, D: tl.constexpr, C: tl.constexpr, BP: tl.constexpr):
    """Of BP pixels from p0 on of P: offsets into c [B, D, HW, C] as [BP, D, C], into rows of C as [BP, C], and the mask [BP]."""
    p = p0 + tl.arange(0, BP)
    d = tl.arange(0, D)
    i = tl.arange(0, C)
    at = ((p // HW)[:, None] * D + d[None, :]) * HW + (p % HW)[:, None]
    return at[:, :, None] * C + i[None, None, :], p[:, None] * C + i[None, :], p < P


@triton.jit
def ray_attend(c, u, s, P, HW, scale, H: tl.constexpr, D: tl.constexpr, C: tl.constexpr, BP: tl.constexpr):
    """s [H, P, C] = sum over D of softmax(scale u . c) c, u [H, P, C]."""
    at, row, ok = ray_tile(tl.program_id(0) * BP, P, HW, D, C, BP)
    x = tl.load(c + at, mask=ok[:, None, None], other=0.0).to(tl.float32)
    for h in tl.static_range(H):
        q = tl.load(u + h * P * C + row, mask=ok[:, None], other=0.0).to(tl.float32)
        z = tl.sum(x * q[:, None, :], 2) * scale
        e = tl.exp(z - tl.max(z, 1)[:, None])
        a = e / tl.sum(e, 1)[:, None]
        tl.store(s + h * P * C + row, tl.sum(x * a[:, :, None], 1).to(s.dtype.element_ty), mask=ok[:, None])


@triton.jit
def ray_attend_back(c, u, ds, dc, du, P, HW, scale, H: tl.constexpr, D: tl.constexpr, C: tl.constexpr, BP: tl.constexpr):
    at, row, ok = ray_tile(tl.program_id(0) * BP, P, HW, D, C, BP)
    x = tl.load(c + at, mask=ok[:, None, None], other=0.0).to(tl.float32)
    dx = tl.zeros([BP, D, C], tl.float32)
    for h in tl.static_range(H):
        q = tl.load(u + h * P * C + row, mask=ok[:, None], other=0.0).to(tl.float32)
        g = tl.load(ds + h * P * C + row, mask=ok[:, None], other=0.0).to(tl.float32)
        z = tl.sum(x * q[:, None, :], 2) * scale
        e = tl.exp(z - tl.max(z, 1)[:, None])
        a = e / tl.sum(e, 1)[:, None]
        da = tl.sum(x * g[:, None, :], 2)
        dz = a * (da - tl.sum(a * da, 1)[:, None]) * scale
        tl.store(du + h * P * C + row, tl.sum(x * dz[:, :, None], 1).to(du.dtype.element_ty), mask=ok[:, None])
        dx += a[:, :, None] * g[:, None, :] + dz[:, :, None] * q[:, None, :]
    tl.store(dc + at, dx.to(dc.dtype.element_ty), mask=ok[:, None, None])


class AttendDepth(torch.autograd.Function):
    """c [B, C, D, h, w] with powers of two for C and D, u [H, B h w, C] -> [H, B h w, C]: softmax(scale u . c) over D, times c."""

    @staticmethod
    def forward(ctx, c, u, scale):
        c, u = last(c), u.contiguous()
        H, P, C = u.shape
        D, HW = c.shape[2], c.shape[3] * c.shape[4]
        BP = max(1, 4096 // (D * C))
        ctx.sizes, ctx.grid = dict(P=P, HW=HW, scale=scale, H=H, D=D, C=C, BP=BP), (triton.cdiv(P, BP),)
        s = torch.empty_like(u)
        ray_attend[ctx.grid](c, u, s, **ctx.sizes)
        ctx.save_for_backward(c, u)
        return s

    @staticmethod
    def backward(ctx, ds):
        c, u = ctx.saved_tensors
        dc, du = torch.empty_like(c), torch.empty_like(u)
        ray_attend_back[ctx.grid](c, u, ds.contiguous(), dc, du, **ctx.sizes)
        return dc, du, None


def attend_depth(c, u, scale):
    """AttendDepth for any number of channels: 48 are padded to 64."""
    C = c.shape[1]
    pad = triton.next_power_of_2(C) - C
    if pad:
        c, u = torch.nn.functional.pad(c, (0, 0) * 3 + (0, pad)), torch.nn.functional.pad(u, (0, pad))
    return AttendDepth.apply(c, u, scale)[..., :C]


# ---- against torch: `python3 gpu.py` ----

def errors(got, want):
    return [((p.double() - q).norm() / q.norm()).item() for p, q in zip(got, want)]


def microseconds(f):
    """The median of replays of f as a graph: launches cost nothing, as in training."""
    for _ in range(3):
        f()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        f()
    times = []
    for _ in range(20):
        a, b = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        a.record()
        graph.replay()
        b.record()
        torch.cuda.synchronize()
        times.append(a.elapsed_time(b) * 1e3)
    return sorted(times)[10]


def check_norm(shape, groups, act):
    import torch.nn.functional as F
    acts = {NONE: lambda z: z, SILU: F.silu, RELU: F.relu}
    for kind, bound in ((torch.float32, 2e-5), (torch.bfloat16, 1e-2)):
        x = last(torch.randn(shape, device='cuda') * 3 + 1).to(kind).requires_grad_()
        w, b = (torch.randn(shape[1], device='cuda').requires_grad_() for _ in range(2))
        dy = last(torch.randn(shape, device='cuda')).to(kind)

        def run(norm, x, w, b, dy):
            y = norm(x, w, b)
            return y, *torch.autograd.grad(y, (x, w, b), dy)
        ours = lambda: run(lambda x, w, b: GroupNorm.apply(x, groups, w, b, 1e-5, act), x, w, b, dy)
        theirs = lambda: run(lambda x, w, b: last(acts[act](F.group_norm(x, groups, w.to(kind), b.to(kind), 1e-5))), x, w, b, dy)
        exact = run(lambda x, w, b: acts[act](F.group_norm(x, groups, w, b, 1e-5)), *(t.detach().double().requires_grad_() for t in (x, w, b)),
                    dy.double())
        error = errors(ours(), exact)
        assert max(error) < bound, (shape, kind, error)
    print('norm %s: %.0f us, torch %.0f us, floor %.0f us; errors %s' % (
        shape, microseconds(ours), microseconds(theirs), 8 * x.numel() * 2 / 4.8e6, ' '.join('%.1e' % e for e in error)), flush=True)


def check_attention(B, C, D, side, H=4):
    import torch.nn.functional as F
    for kind, bound in ((torch.float32, 2e-5), (torch.bfloat16, 2e-2)):
        c = last(torch.randn((B, C, D, side, side), device='cuda')).to(kind).requires_grad_()
        u = torch.randn((H, B * side * side, C), device='cuda').to(kind).requires_grad_()
        ds = torch.randn_like(u)

        def run(f, c, u, ds):
            s = f(c, u)
            return s, *torch.autograd.grad(s, (c, u), ds)

        def plain(c, u):
            x = c.permute(0, 3, 4, 2, 1).reshape(-1, D, C)
            a = F.softmax((u.movedim(0, 1) @ x.mT) * 0.25, -1)
            return (a @ x).movedim(1, 0)
        ours = lambda: run(lambda c, u: attend_depth(c, u, 0.25), c, u, ds)
        error = errors(ours(), run(plain, *(t.detach().double().requires_grad_() for t in (c, u)), ds.double()))
        assert max(error) < bound, (B, C, D, side, kind, error)
    print('attention over depth %s: %.0f us, floor %.0f us; errors %s' % (
        (B, C, D, side), microseconds(ours), (3 * c.numel() + 5 * u.numel()) * 2 / 4.8e6, ' '.join('%.1e' % e for e in error)), flush=True)


if __name__ == '__main__':
    for shape, groups, act in (((256, 128, 16, 16), 32, SILU), ((256, 256, 16, 16), 32, SILU), ((512, 64, 8, 8), 32, NONE), ((64, 32, 16, 16, 16), 8, SILU),
                               ((256, 48, 2, 4, 4), 8, RELU), ((3, 96, 5, 7), 8, RELU), ((1024, 16, 16, 16), 8, SILU), ((256, 32, 16, 16, 16), 8, SILU)):
        check_norm(shape, groups, act)
    for sizes in ((256, 32, 16, 16), (256, 32, 8, 8), (256, 48, 4, 4), (256, 48, 2, 2), (1, 32, 4, 3)):
        check_attention(*sizes)
